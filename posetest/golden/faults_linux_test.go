package golden_test

import (
	"testing"

	"github.com/posetest/suite/posetest/faulttest"
	"github.com/posetest/suite/posetest/golden"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func beOnADisk() { faulttest.Main() }

func faultsHere(t *testing.T) {
	faulttest.Try(t, "a full disk under the goldens", "every file is whole", func(t *testing.T) { updateOn(t, faulttest.Disk{}) })
	faulttest.Try(t, "a disk that is full half-way through a golden", "every file is whole", func(t *testing.T) { updateOn(t, faulttest.Disk{Room: 3 * 4096}) })
	faulttest.Try(t, "goldens that may only be read", "a clear error", func(t *testing.T) { updateOn(t, faulttest.Disk{ReadOnly: true}) })
}

// An update that can't be written leaves the golden that was there, and says what to do.
func updateOn(t *testing.T, disk faulttest.Disk) {
	disk.Dir = t.TempDir()
	_, err := golden.Store{Dir: disk.Dir}.Update(crowd(0), golden.Tolerance{})
	require.NoError(t, err)
	before := filesIn(t, disk.Dir)
	require.Len(t, before, 1)
	cmd := again(t, writeOnce, disk.Dir)
	seen := disk.Under(t, cmd)
	said, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(said), "golden: write "+disk.Dir+"/m/int8/cpu@1.23.2.avx2.json: "+disk.Words()+
		"; what was there is as it was: make room, or make the folder writable, and run -update again")
	assert.NotContains(t, string(said), "\n", "one sentence")
	assert.Equal(t, before, filesIn(t, seen))
}
