package pose

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/png"
	"testing"

	"github.com/posetest/suite/posetest/pose/internal/jpeg"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The pixels of a photograph that was read, written as a PNG and read again are the same: it is upright then, and of 8 bits.
func FuzzPixels(f *testing.F) {
	photo := image.NewRGBA(image.Rect(0, 0, 9, 5))
	for i := range photo.Pix {
		photo.Pix[i] = uint8(31 * i)
	}
	for orientation := range 9 {
		f.Add(jpegWith(f, photo, tiff(binary.LittleEndian, 0x0112, 3, orientation)))
		f.Add(pngWith(f, photo, tiff(binary.BigEndian, 0x0112, 3, orientation)))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		decodeConfig := png.DecodeConfig
		if bytes.HasPrefix(file, []byte(jpegMagic)) {
			decodeConfig = jpeg.DecodeConfig
		}
		conf, err := decodeConfig(bytes.NewReader(file))
		if err == nil && conf.Width*conf.Height > 1<<16 {
			return // it would be slow, not wrong
		}
		img, err := DecodeImage(bytes.NewReader(file))
		if err != nil {
			assert.ErrorContains(t, err, "photograph ")
			return
		}
		require.Equal(t, conf.Width*conf.Height, img.Width*img.Height, "as its header says, upright or turned")
		flat := image.NewNRGBA(image.Rect(0, 0, img.Width, img.Height))
		for i := range img.Width * img.Height {
			copy(flat.Pix[4*i:], append(img.Pix[3*i:3*i+3:3*i+3], 255))
		}
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, flat))
		again, err := DecodeImage(&b)
		require.NoError(t, err)
		assert.Equal(t, img, again)
	})
}
