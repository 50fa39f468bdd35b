package ortlib

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manyNames is a DLL whose export table has so many names, all of them the one at the begin of its only section.
func manyNames(names int) []byte {
	const address, directory = 0x1000, 16 // of the section, and of the export directory within it
	section := make([]byte, directory+40+4*names)
	copy(section, "name\x00")
	le := binary.LittleEndian
	le.PutUint32(section[directory+24:], uint32(names))
	le.PutUint32(section[directory+32:], address+directory+40)
	for i := range names {
		le.PutUint32(section[directory+40+4*i:], address)
	}
	header := pe.OptionalHeader64{Magic: 0x20b, NumberOfRvaAndSizes: 16}
	header.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_EXPORT] = pe.DataDirectory{VirtualAddress: address + directory, Size: 40}
	var b bytes.Buffer
	b.WriteString("MZ")
	b.Write(make([]byte, 0x3a))
	write := func(v any) {
		if err := binary.Write(&b, le, v); err != nil {
			panic(err)
		}
	}
	write(uint32(0x40)) // where the headers begin
	b.WriteString("PE\x00\x00")
	write(pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: 1, SizeOfOptionalHeader: uint16(binary.Size(header)), Characteristics: pe.IMAGE_FILE_DLL})
	write(header)
	at := b.Len() + 40
	write(pe.SectionHeader32{Name: [8]uint8{'.', 'e', 'd', 'a', 't', 'a'}, VirtualSize: uint32(len(section)), VirtualAddress: address,
		SizeOfRawData: uint32(len(section)), PointerToRawData: uint32(at)})
	b.Write(section)
	return b.Bytes()
}

// A table of very many names is read in the time of its size: each name alone, and not what stands behind it in its section.
func TestManyNames(t *testing.T) {
	const names = 100_000
	content := manyNames(names)
	r := &counting{ReaderAt: bytes.NewReader(content)}
	require.ErrorContains(t, check(r, int64(len(content)), "windows/amd64"), "does not export OrtGetApiBase")
	assert.Less(t, r.n, int64(names*1024), "bytes read")
	f, err := pe.NewFile(bytes.NewReader(content))
	require.NoError(t, err)
	exports, err := peExports(f)
	require.NoError(t, err)
	require.Len(t, exports, names)
	assert.Equal(t, "name", exports[names-1])
}
