package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/posetest/suite/posetest/faulttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the test binary does when it is started again, with the path of a bundle in the variable.
const (
	packForever   = "BUNDLE_TEST_PACK_FOREVER"   // packs one bundle and another there, in turns, until it is killed
	unpackForever = "BUNDLE_TEST_UNPACK_FOREVER" // unpacks it again and again beside itself
	packOnce      = "BUNDLE_TEST_PACK"
	unpackOnce    = "BUNDLE_TEST_UNPACK" // into the folder "into" beside it
)

func TestMain(m *testing.M) {
	beOnADisk()
	for variable, do := range map[string]func(path string, turn int) error{
		packForever: packTurn,
		packOnce:    packTurn,
		unpackForever: func(path string, _ int) error {
			folder, err := Unpack(context.Background(), []string{path}, filepath.Dir(path))
			if err != nil {
				return err
			}
			return os.RemoveAll(folder)
		},
		unpackOnce: func(path string, _ int) error {
			_, err := Unpack(context.Background(), []string{path}, filepath.Join(filepath.Dir(path), "into"))
			return err
		},
	} {
		path := os.Getenv(variable)
		for turn := 0; path != ""; turn++ {
			if err := do(path, turn); err != nil {
				fmt.Print(err)
				os.Exit(1)
			}
			if variable == packOnce || variable == unpackOnce {
				os.Exit(0)
			}
		}
	}
	os.Exit(m.Run())
}

func packTurn(path string, turn int) error {
	_, err := Pack(context.Background(), Output{Path: path}, forTest, turned(turn))
	return err
}

// turned are files of a bundle of which those of an odd turn are others.
func turned(turn int) []File {
	return []File{{Name: "run", Program: true, Content: bytes.Repeat([]byte{byte(turn % 2)}, 1<<20)}, {Name: "a/b", Content: []byte{byte(turn % 2)}}}
}

// The faults of packing and unpacking.
func TestFaults(t *testing.T) {
	faulttest.Try(t, "a bundle that becomes a disk full", "a clear error", growing)
	faulttest.Try(t, "kill -9 while a bundle is packed, at random moments", "every file is whole", killedPacking)
	faulttest.Try(t, "kill -9 while a bundle is unpacked, at random moments", "every file is whole", killedUnpacking)
	faultsHere(t)
}

// A few bytes that unpack to a disk full are refused before they have filled it.
func growing(t *testing.T) {
	zeros := func(w io.Writer) { // 200 MB
		tw := tar.NewWriter(w)
		require.NoError(t, tw.WriteHeader(&tar.Header{Name: "b/x", Size: 200 << 20, Mode: 0o644}))
		_, err := io.CopyN(tw, zero{}, 200<<20)
		require.NoError(t, err)
		require.NoError(t, tw.Close())
	}
	for _, row := range []struct {
		why   string
		write func(w io.Writer)
	}{
		{"zeros under gzip", func(w io.Writer) {
			z := gzip.NewWriter(w)
			zeros(z)
			require.NoError(t, z.Close())
		}},
		{"zeros under zstd", func(w io.Writer) {
			z, err := zstd.NewWriter(w)
			require.NoError(t, err)
			zeros(z)
			require.NoError(t, z.Close())
		}},
		{"a hole, which takes no room in a tar", func(w io.Writer) {
			const size = 1 << 40
			head, data := sparse(size), fmt.Sprintf("%-512s", fmt.Sprintf("1\n%d\n0\n", size))
			data = strings.ReplaceAll(data, " ", "\x00")
			_, err := w.Write(append(append(head, data...), make([]byte, 1024)...))
			require.NoError(t, err)
		}},
		{"one file under many names, which may have to be there as often", func(w io.Writer) {
			tw := tar.NewWriter(w)
			require.NoError(t, tw.WriteHeader(&tar.Header{Name: "b/x", Size: 100 << 10, Mode: 0o644}))
			_, err := io.CopyN(tw, zero{}, 100<<10)
			require.NoError(t, err)
			for i := range 2_000 {
				require.NoError(t, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeLink, Name: fmt.Sprint("b/", i), Linkname: "b/x"}))
			}
			require.NoError(t, tw.Close())
		}},
		{"names alone, which take room on a disk, too", func(w io.Writer) {
			z, err := zstd.NewWriter(w)
			require.NoError(t, err)
			tw := tar.NewWriter(z)
			for range 100_000 { // one name, so that the test takes none
				require.NoError(t, tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "b/x/"}))
			}
			require.NoError(t, tw.Close())
			require.NoError(t, z.Close())
		}},
	} {
		t.Run(row.why, func(t *testing.T) {
			var b bytes.Buffer
			row.write(&b)
			path, into := filepath.Join(t.TempDir(), "b.tar"), t.TempDir()
			require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
			_, err := Unpack(t.Context(), []string{path}, into)
			require.EqualError(t, err, path+": it is no bundle of posetest: it unpacks to more than 100 times its size")
			assert.Empty(t, left(t, into))
		})
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// sparse is the header of a file of one hole, as GNU tar writes it (PAX 1.0), which package tar only reads.
func sparse(size int64) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	records := ""
	for _, kv := range [][2]string{{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.name", "b/x"}, {"GNU.sparse.realsize", fmt.Sprint(size)}} {
		record := fmt.Sprintf(" %s=%s\n", kv[0], kv[1])
		n := len(record) + 2 // of two digits
		records += fmt.Sprint(n) + record
	}
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "PaxHeaders.0/x", Size: int64(len(records)), Mode: 0o644, Format: tar.FormatUSTAR})
	io.WriteString(w, records)
	w.Flush()
	text := bytes.Clone(b.Bytes())
	text[156] = tar.TypeXHeader
	sum(text)
	b.Reset()
	w = tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "b/x", Size: 512, Mode: 0o644, Format: tar.FormatUSTAR})
	return append(text, b.Bytes()...)
}

// sum corrects the sum of a tar's header.
func sum(header []byte) {
	copy(header[148:156], "        ")
	n := 0
	for _, c := range header[:512] {
		n += int(c)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", n))
}

// startAgain is the test binary, started again with a variable.
func startAgain(t *testing.T, variable, value string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), variable+"="+value)
	return cmd
}

// kills starts it again and again, kills it at a random moment, and looks.
func kills(t *testing.T, variable, path string, look func()) {
	t.Helper()
	for range faulttest.Times(12, 200) {
		cmd := startAgain(t, variable, path)
		var said bytes.Buffer
		cmd.Stdout = &said
		require.NoError(t, cmd.Start())
		time.Sleep(rand.N(100 * time.Millisecond))
		require.NoError(t, cmd.Process.Kill(), said.String())
		cmd.Wait()
		require.Empty(t, said.String())
		look()
	}
}

// After each kill there is the old bundle or the new one, with its own sums or with none, and who packs next removes what the dead left.
func killedPacking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tar")
	require.NoError(t, packTurn(path, 0))
	kills(t, packForever, path, func() {
		folder, err := Unpack(t.Context(), []string{path}, t.TempDir())
		require.NoError(t, err)
		run, err := os.ReadFile(filepath.Join(folder, "run"))
		require.NoError(t, err)
		holds(t, folder, turned(int(run[0])))
	})
	require.NoError(t, packTurn(path, 0))
	assert.Equal(t, []string{"b.tar", "b.tar.sha256"}, left(t, filepath.Dir(path)), "what the dead left")
}

// After each kill the folder is there whole or not at all, and who unpacks next removes what the dead left.
func killedUnpacking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tar")
	require.NoError(t, packTurn(path, 0))
	folder := filepath.Join(filepath.Dir(path), forTest.Folder())
	kills(t, unpackForever, path, func() {
		if m, err := Read(folder); err == nil { // which is removed file by file
			assert.Len(t, m.Files, 2)
		}
		require.NoError(t, os.RemoveAll(folder))
	})
	into, err := Unpack(t.Context(), []string{path}, filepath.Dir(path))
	require.NoError(t, err)
	holds(t, into, turned(0))
	assert.Equal(t, []string{"b.tar", "b.tar.sha256", filepath.Base(folder)}, left(t, filepath.Dir(path)), "what the dead left")
}
