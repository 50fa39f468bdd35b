package pose

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// generated is letterbox.py's photograph: noise, a ramp and a checkerboard.
func generated(w, h int) *Image {
	img := &Image{w, h, make([]uint8, 0, 3*w*h)}
	for y := range uint64(h) {
		for x := range uint64(w) {
			noise := ((x * 73856093) ^ (y * 19349663)) * 2654435761 >> 13
			img.Pix = append(img.Pix, uint8(noise), uint8(3*x+5*y), uint8((x^y)&1*255))
		}
	}
	return img
}

// The letterbox is cv2's to the byte.
func TestLetterboxEqualsOpenCV(t *testing.T) {
	var golden struct {
		Letterboxes []struct {
			W, H, Width, Height int
			SHA256, Pixels      string
		}
	}
	data, err := os.ReadFile("testdata/letterbox.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &golden))
	require.NotEmpty(t, golden.Letterboxes)
	for _, g := range golden.Letterboxes {
		t.Run(fmt.Sprintf("photo=%dx%d/canvas=%dx%d", g.W, g.H, g.Width, g.Height), func(t *testing.T) {
			p := newYOLO(canvas{"images", g.Width, g.Height})
			tensor, err := p.Preprocess(generated(g.W, g.H))
			require.NoError(t, err)
			require.Equal(t, []int64{1, 3, int64(g.Height), int64(g.Width)}, tensor.Shape)
			pixels := interleaved(t, tensor.Data.([]float32))
			if g.Pixels != "" {
				require.Equal(t, g.Pixels, hex.EncodeToString(pixels))
			}
			require.Equal(t, g.SHA256, fmt.Sprintf("%x", sha256.Sum256(pixels)))
		})
	}
}

// interleaved gives back the bytes of which planes holds 255ths.
func interleaved(t *testing.T, planes []float32) []uint8 {
	n := len(planes) / 3
	pixels := make([]uint8, len(planes))
	for i, v := range planes {
		b := uint8(v*255 + 0.5)
		if float32(b)/255 != v {
			t.Fatalf("element %d is %v, want a whole number of 255ths", i, v)
		}
		pixels[i%n*3+i/n] = b
	}
	return pixels
}
