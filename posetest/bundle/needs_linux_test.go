package bundle

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// This machine's glibc has what its own libraries ask of it, and no older one would do for all of them.
func TestThisMachine(t *testing.T) {
	here := ThisMachine()
	require.Regexp(t, `^2\.\d+$`, here.GLIBC)
	path := here.Find("libm.so.6")
	require.NotEmpty(t, path)
	glibc, libraries, err := Needs(path)
	require.NoError(t, err)
	assert.False(t, Newer(glibc, here.GLIBC), "libm needs glibc %s, and %s is here", glibc, here.GLIBC)
	assert.Contains(t, libraries, "libc.so.6")
	assert.Empty(t, here.Find("libnosuch.so.1"))
	_, _, err = Needs("needs_linux_test.go")
	require.ErrorContains(t, err, "needs_linux_test.go: ")
}
