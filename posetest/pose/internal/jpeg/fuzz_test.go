package jpeg

import (
	"bytes"
	"image"
	"image/color"
	std "image/jpeg"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What Go's own decoder takes this one takes, and refuses what that refuses: they differ in how they round.
func FuzzAgainstGo(f *testing.F) {
	gray, colour := image.NewGray(image.Rect(0, 0, 9, 17)), image.NewRGBA(image.Rect(0, 0, 17, 9))
	for i := range gray.Pix {
		gray.Pix[i] = uint8(29 * i)
	}
	for y := range 9 {
		for x := range 17 {
			colour.Set(x, y, color.RGBA{uint8(15 * x), uint8(28 * y), uint8(7 * x * y), 255})
		}
	}
	for _, img := range []image.Image{gray, colour} {
		var b bytes.Buffer
		require.NoError(f, std.Encode(&b, img, &std.Options{Quality: 90}))
		f.Add(b.Bytes())
		f.Add(b.Bytes()[:b.Len()-5])
		f.Add(bytes.Replace(b.Bytes(), []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1)) // says that it is progressive
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		conf, err := DecodeConfig(bytes.NewReader(file))
		wantConf, wantErr := std.DecodeConfig(bytes.NewReader(file))
		require.Equal(t, wantErr == nil, err == nil, "got %v, want %v", err, wantErr)
		if err != nil || conf.Width*conf.Height > 1<<16 {
			return
		}
		assert.Equal(t, [2]int{wantConf.Width, wantConf.Height}, [2]int{conf.Width, conf.Height})
		got, err := Decode(bytes.NewReader(file))
		want, wantErr := std.Decode(bytes.NewReader(file))
		require.Equal(t, wantErr == nil, err == nil, "got %v, want %v", err, wantErr)
		if err != nil {
			return
		}
		assert.IsType(t, want, got)
		assert.Equal(t, want.Bounds(), got.Bounds())
	})
}
