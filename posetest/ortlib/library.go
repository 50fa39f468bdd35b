package ortlib

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// entryPoint is the one symbol through which every use of ONNX Runtime goes.
const entryPoint = "OrtGetApiBase"

// CheckLibrary says in one sentence why path cannot be opened as ONNX Runtime on this machine: no file, not a shared
// library, cut short, for another operating system or CPU, or without OrtGetApiBase. It reads headers only, so
// it neither runs the library's code nor vouches for its content.
func CheckLibrary(path string) error { return checkFile(path, machine) }

func checkFile(path, platform string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot read the ONNX Runtime library: %w", err)
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a folder: name the library file in it (libonnxruntime.so…, libonnxruntime…dylib or onnxruntime.dll)", path)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file: name the ONNX Runtime library file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot read the ONNX Runtime library: %w", err)
	}
	defer f.Close()
	if err := check(f, info.Size(), platform); err != nil {
		return fmt.Errorf("%s %w", path, err)
	}
	return nil
}

// image is what the three formats tell about a library.
type image struct {
	platforms []string // one for each CPU, as GOOS/GOARCH
	shared    bool
	end       uint64 // where the last loaded byte should be, in bytes from the start of the file
	exported  bool   // the entry point is among the exports
	imports   []string
}

// check's error reads on after the name of the file.
func check(r io.ReaderAt, size int64, platform string) error {
	if size == 0 {
		return errors.New("is empty: get the library again")
	}
	img, err := readImage(r, platform)
	switch {
	case errors.Is(err, errFormat):
		return fmt.Errorf("is no shared library (neither ELF, Mach-O nor PE): name the ONNX Runtime library for %s", platform)
	case err != nil:
		return fmt.Errorf("is damaged or cut short (%d bytes; %w): get the library again", size, err)
	case !slices.Contains(img.platforms, platform):
		return fmt.Errorf("is for %s, %s is wanted here: get the library for %s", join(img.platforms), platform, platform)
	case img.end > uint64(size):
		return fmt.Errorf("is cut short (%d bytes, its headers tell of %d): get the library again", size, img.end)
	case !img.shared:
		return errors.New("is a program or an object file, no shared library: name the ONNX Runtime library")
	case !img.exported:
		return fmt.Errorf("does not export %s: name the main library of ONNX Runtime, not one of its providers or the Python module", entryPoint)
	}
	return nil
}

var errFormat = errors.New("unknown format")

func readImage(r io.ReaderAt, platform string) (image, error) {
	var magic [4]byte
	if _, err := r.ReadAt(magic[:], 0); err != nil && err != io.EOF {
		return image{}, err
	}
	switch {
	case string(magic[:]) == elf.ELFMAG:
		return readELF(r)
	case slices.Contains([]uint32{macho.Magic32, macho.Magic64}, binary.LittleEndian.Uint32(magic[:])):
		f, err := macho.NewFile(r)
		if err != nil {
			return image{}, err
		}
		return machoImage(f, 0), nil
	case binary.BigEndian.Uint32(magic[:]) == macho.MagicFat:
		return readFat(r, platform)
	case string(magic[:2]) == "MZ":
		return readPE(r)
	}
	return image{}, errFormat
}

func readELF(r io.ReaderAt) (image, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return image{}, err
	}
	system := "linux"
	if f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX {
		system = f.OSABI.String()
	}
	cpu := map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm",
		elf.EM_RISCV: "riscv64", elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x"}[f.Machine]
	img := image{platforms: []string{system + "/" + nameOr(cpu, f.Machine)}, shared: f.Type == elf.ET_DYN}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			img.end = max(img.end, p.Off+p.Filesz)
		}
	}
	symbols, err := f.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return image{}, err
	}
	img.exported = slices.ContainsFunc(symbols, func(s elf.Symbol) bool {
		return s.Name == entryPoint && s.Section != elf.SHN_UNDEF
	})
	img.imports, err = f.ImportedLibraries()
	return img, err
}

// readFat looks into the slice for platform, or into the first one when there is none.
func readFat(r io.ReaderAt, platform string) (image, error) {
	f, err := macho.NewFatFile(r)
	if err != nil {
		return image{}, err
	}
	var img image
	var platforms []string
	for i, arch := range f.Arches {
		slice := machoImage(arch.File, uint64(arch.Offset))
		platforms = append(platforms, slice.platforms...)
		if i == 0 || slice.platforms[0] == platform {
			img = slice
		}
	}
	img.platforms = platforms
	return img, nil
}

func machoImage(f *macho.File, offset uint64) image {
	cpu := map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64", macho.Cpu386: "386", macho.CpuArm: "arm"}[f.Cpu]
	img := image{platforms: []string{"darwin/" + nameOr(cpu, f.Cpu)}, shared: f.Type == macho.TypeDylib}
	for _, l := range f.Loads {
		if s, ok := l.(*macho.Segment); ok {
			img.end = max(img.end, offset+s.Offset+s.Filesz)
		}
	}
	if f.Symtab != nil {
		img.exported = slices.ContainsFunc(f.Symtab.Syms, func(s macho.Symbol) bool {
			return s.Name == "_"+entryPoint && s.Sect != 0
		})
	}
	img.imports, _ = f.ImportedLibraries() // it cannot fail on what NewFile has read
	return img
}

func readPE(r io.ReaderAt) (image, error) {
	f, err := pe.NewFile(r)
	if err != nil {
		return image{}, err
	}
	cpu := map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_ARM64: "arm64", pe.IMAGE_FILE_MACHINE_I386: "386"}[f.Machine]
	img := image{platforms: []string{"windows/" + nameOr(cpu, f.Machine)}, shared: f.Characteristics&pe.IMAGE_FILE_DLL != 0}
	for _, s := range f.Sections {
		img.end = max(img.end, uint64(s.Offset)+uint64(s.Size))
	}
	exports, err := peExports(f)
	if err != nil {
		return image{}, err
	}
	img.exported = slices.Contains(exports, entryPoint)
	img.imports, err = peImports(f)
	return img, err
}

// peExports reads the names of the export table, which debug/pe leaves out: 40 bytes of directory, with the count of
// names at 24 and the address of the table of their addresses at 32 (Microsoft's "PE Format", .edata).
func peExports(f *pe.File) ([]string, error) {
	directory, err := peDirectory(f, pe.IMAGE_DIRECTORY_ENTRY_EXPORT)
	if len(directory) < 40 || err != nil {
		return nil, err
	}
	table, err := peAt(f, binary.LittleEndian.Uint32(directory[32:]), 1<<20)
	if err != nil {
		return nil, err
	}
	var names []string
	for range binary.LittleEndian.Uint32(directory[24:]) {
		if len(table) < 4 {
			return nil, errors.New("export table ends early")
		}
		name, err := peName(f, binary.LittleEndian.Uint32(table))
		if err != nil {
			return nil, err
		}
		names, table = append(names, name), table[4:]
	}
	return names, nil
}

// peImports reads the names of imported libraries: rows of 20 bytes, the name's address at 12, a row of zeros last.
// (debug/pe's ImportedLibraries returns nothing.)
func peImports(f *pe.File) ([]string, error) {
	rows, err := peDirectory(f, pe.IMAGE_DIRECTORY_ENTRY_IMPORT)
	var names []string
	for ; err == nil && len(rows) >= 20 && binary.LittleEndian.Uint32(rows[12:]) != 0; rows = rows[20:] {
		var name string
		name, err = peName(f, binary.LittleEndian.Uint32(rows[12:]))
		names = append(names, name)
	}
	return names, err
}

func peDirectory(f *pe.File, entry int) ([]byte, error) {
	header, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || header.DataDirectory[entry].VirtualAddress == 0 {
		return nil, nil
	}
	return peAt(f, header.DataDirectory[entry].VirtualAddress, 1<<20)
}

func peName(f *pe.File, address uint32) (string, error) {
	data, err := peAt(f, address, 512)
	if err != nil {
		return "", err
	}
	name, _, ok := bytes.Cut(data, []byte{0})
	if !ok {
		return "", fmt.Errorf("name at %#x does not end", address)
	}
	return string(name), nil
}

// peAt returns what the file holds from a virtual address to the end of its section, so many bytes at most: a table may have
// a hundred thousand names, each at the start of a large section.
func peAt(f *pe.File, address, most uint32) ([]byte, error) {
	for _, s := range f.Sections {
		if address >= s.VirtualAddress && address-s.VirtualAddress < s.Size {
			data := make([]byte, min(s.Size-(address-s.VirtualAddress), most))
			n, err := s.ReadAt(data, int64(address-s.VirtualAddress))
			if err == io.EOF {
				err = nil
			}
			return data[:n], err
		}
	}
	return nil, fmt.Errorf("no section holds address %#x", address)
}

func nameOr(name string, number any) string {
	if name == "" {
		return fmt.Sprint("CPU ", number)
	}
	return name
}
