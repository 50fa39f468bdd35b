package pose

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// JPEGs of each chroma ratio, of grey and of CMYK have the pixels that OpenCV reads from them.
func TestJPEGEqualsOpenCV(t *testing.T) {
	var golden struct {
		JPEGs []struct {
			Name          string
			Width, Height int
			Within        float64
			File, Pixels  []byte
		}
	}
	data, err := os.ReadFile("testdata/jpeg.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &golden))
	require.NotEmpty(t, golden.JPEGs)
	for _, g := range golden.JPEGs {
		t.Run(g.Name, func(t *testing.T) {
			img, err := DecodeImage(bytes.NewReader(g.File))
			require.NoError(t, err)
			if g.Within == 0 {
				require.Equal(t, &Image{g.Width, g.Height, g.Pixels}, img)
				return
			}
			require.Equal(t, [2]int{g.Width, g.Height}, [2]int{img.Width, img.Height})
			require.Len(t, img.Pix, len(g.Pixels))
			for i, want := range g.Pixels {
				require.InDelta(t, want, img.Pix[i], g.Within, "byte %d", i)
			}
		})
	}
}

func TestColourModels(t *testing.T) {
	area := image.Rect(0, 0, 2, 1)
	gray := &image.Gray{Pix: []uint8{0, 200}, Stride: 2, Rect: area}
	gray16 := &image.Gray16{Pix: []uint8{0x12, 0xff, 0xfe, 0x01}, Stride: 4, Rect: area}
	rgb16 := image.NewRGBA64(area)
	rgb16.SetRGBA64(0, 0, color.RGBA64{0x12ff, 0x3400, 0x56ff, 0xffff})
	rgb16.SetRGBA64(1, 0, color.RGBA64{0, 0, 0, 0xffff})
	clear := image.NewNRGBA(area)
	clear.SetNRGBA(0, 0, color.NRGBA{10, 20, 30, 0})
	clear.SetNRGBA(1, 0, color.NRGBA{40, 50, 60, 128})
	clear16 := image.NewNRGBA64(area)
	clear16.SetNRGBA64(0, 0, color.NRGBA64{0x0aff, 0x1400, 0x1e00, 0})
	palette := image.NewPaletted(area, color.Palette{color.NRGBA{1, 2, 3, 4}, color.NRGBA{5, 6, 7, 255}})
	palette.Pix[1] = 1
	cmyk := &image.CMYK{Pix: []uint8{0, 100, 255, 0, 0, 100, 255, 55}, Stride: 8, Rect: area}
	inner := image.NewRGBA(image.Rect(0, 0, 4, 4))
	inner.SetRGBA(2, 3, color.RGBA{9, 8, 7, 255})

	for name, row := range map[string]struct {
		src  image.Image
		want []uint8
	}{
		"grey":                                   {gray, []uint8{0, 0, 0, 200, 200, 200}},
		"16-bit grey keeps its upper byte":       {gray16, []uint8{0x12, 0x12, 0x12, 0xfe, 0xfe, 0xfe}},
		"16-bit colour keeps its upper byte":     {rgb16, []uint8{0x12, 0x34, 0x56, 0, 0, 0}},
		"alpha is dropped, even where it is 0":   {clear, []uint8{10, 20, 30, 40, 50, 60}},
		"16-bit alpha likewise":                  {clear16, []uint8{10, 20, 30, 0, 0, 0}},
		"palette, one colour nearly clear":       {palette, []uint8{1, 2, 3, 5, 6, 7}},
		"CMYK, 255 of an ink leaves 1 in OpenCV": {cmyk, []uint8{255, 156, 1, 200, 122, 1}},
		"part of an image starts at its corner":  {inner.SubImage(image.Rect(2, 3, 4, 4)), []uint8{9, 8, 7, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := FromImage(row.src)
			require.NoError(t, err)
			assert.Equal(t, &Image{2, 1, row.want}, img)
			if _, ok := row.src.(*image.CMYK); ok {
				return // PNG has no CMYK
			}
			var file bytes.Buffer
			require.NoError(t, png.Encode(&file, row.src))
			img, err = DecodeImage(&file)
			require.NoError(t, err)
			assert.Equal(t, &Image{2, 1, row.want}, img, "as a PNG file")
		})
	}
}

// Each orientation is how a camera stores one scene; turned upright, the
// scene's corners are red, green, blue and white from the top left clockwise.
func TestOrientation(t *testing.T) {
	const w, h = 48, 32
	red, green := color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}
	blue, white := color.RGBA{0, 0, 255, 255}, color.RGBA{255, 255, 255, 255}
	for o, corners := range map[int][4]color.RGBA{ // of the stored rows: from the top left clockwise
		1: {red, green, blue, white},
		2: {green, red, white, blue},
		3: {blue, white, red, green},
		4: {white, blue, green, red},
		5: {red, white, blue, green},
		6: {green, blue, white, red},
		7: {blue, green, red, white},
		8: {white, red, green, blue},
	} {
		sw, sh := w, h
		if o >= 5 {
			sw, sh = h, w
		}
		stored := image.NewRGBA(image.Rect(0, 0, sw, sh))
		for y := range sh {
			for x := range sw {
				switch left, top := x < sw/2, y < sh/2; {
				case left && top:
					stored.SetRGBA(x, y, corners[0])
				case top:
					stored.SetRGBA(x, y, corners[1])
				case !left:
					stored.SetRGBA(x, y, corners[2])
				default:
					stored.SetRGBA(x, y, corners[3])
				}
			}
		}
		for name, file := range map[string][]byte{
			"jpeg, little-endian": jpegWith(t, stored, tiff(binary.LittleEndian, 0x0112, 3, o)),
			"jpeg, big-endian":    jpegWith(t, stored, tiff(binary.BigEndian, 0x0112, 3, o)),
			"png":                 pngWith(t, stored, tiff(binary.BigEndian, 0x0112, 3, o)),
		} {
			img, err := DecodeImage(bytes.NewReader(file))
			require.NoError(t, err)
			require.Equal(t, [2]int{w, h}, [2]int{img.Width, img.Height}, "orientation %d, %s", o, name)
			for i, want := range []color.RGBA{red, green, blue, white} {
				x, y := []int{4, w - 4, w - 4, 4}[i], []int{4, 4, h - 4, h - 4}[i]
				got := img.row(y)[3*x:][:3]
				for c, v := range []uint8{want.R, want.G, want.B} {
					assert.InDelta(t, v, got[c], 4, "orientation %d, %s, corner %d, channel %d", o, name, i, c)
				}
			}
		}
	}
}

func TestOrientationThatCannotBeRead(t *testing.T) {
	le := binary.LittleEndian
	for name, block := range map[string][]byte{
		"empty":                       {},
		"0 is none":                   tiff(le, 0x0112, 3, 0),
		"9 is none":                   tiff(le, 0x0112, 3, 9),
		"a long instead of a short":   tiff(le, 0x0112, 4, 6),
		"another tag":                 tiff(le, 0x0113, 3, 6),
		"cut after the entry's count": tiff(le, 0x0112, 3, 6)[:18],
		"directory beyond the end":    append([]byte("II*\x00\xff\xff\xff\xff"), make([]byte, 20)...),
		"neither byte order":          append([]byte("XX*\x00"), tiff(le, 0x0112, 3, 6)[4:]...),
	} {
		assert.Equal(t, upright, tiffOrientation(block), name)
	}
	assert.Equal(t, 6, tiffOrientation(tiff(le, 0x0112, 3, 6)))
}

func TestBadImages(t *testing.T) {
	photo := image.NewRGBA(image.Rect(0, 0, 64, 64))
	wholeJPEG, wholePNG := jpegWith(t, photo, nil), pngWith(t, photo, nil)
	for name, row := range map[string]struct {
		file []byte
		want string
	}{
		"zero bytes":           {nil, "is empty: give a JPEG or PNG"},
		"text":                 {[]byte("GIF89a, says the file"), "is neither JPEG nor PNG: convert it to one of them"},
		"JPEG's first bytes":   {wholeJPEG[:4], "is cut short: get a whole copy of the file"},
		"half a JPEG":          {wholeJPEG[:len(wholeJPEG)/2], "is cut short: get a whole copy of the file"},
		"JPEG without its end": {wholeJPEG[:len(wholeJPEG)-3], "cannot be decoded, save it anew or take another: invalid JPEG format: short Huffman data"},
		"half a PNG":           {wholePNG[:len(wholePNG)/2], "cannot be decoded, save it anew or take another: png: invalid format: not enough pixel data"},
		"PNG's magic":          {wholePNG[:8], "is cut short: get a whole copy of the file"},
		"PNG of 0×0":           {pngHeader(0, 0), "cannot be decoded, save it anew or take another: png: invalid format: non-positive dimension"},
		"JPEG of 0×0":          {jpegHeader(0, 0), "is 0×0 pixels: give one that has any"},
		"PNG of 30000×30000":   {pngHeader(30000, 30000), "is 30000×30000 pixels, more than 134217728: scale it down"},
		"JPEG of 30000×30000":  {jpegHeader(30000, 30000), "is 30000×30000 pixels, more than 134217728: scale it down"},
		"JPEG of odd Huffman":  {bytes.Replace(wholeJPEG, []byte{0xff, 0xc4}, []byte{0xff, 0xcc}, 1), "cannot be decoded, save it anew or take another: unsupported JPEG feature: unknown marker"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "photo")
			require.NoError(t, os.WriteFile(path, row.file, 0o600))
			img, err := ReadImage(path)
			assert.Nil(t, img)
			assert.EqualError(t, err, "photograph "+path+" "+row.want)
			_, err = DecodeImage(bytes.NewReader(row.file))
			assert.EqualError(t, err, "photograph "+row.want)
		})
	}
	_, err := ReadImage(filepath.Join(t.TempDir(), "nowhere.jpg"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = DecodeImage(iotest.ErrReader(errors.New("unplugged")))
	assert.EqualError(t, err, "photograph cannot be read: unplugged")
	_, err = FromImage(image.NewGray(image.Rectangle{}))
	assert.EqualError(t, err, "photograph is 0×0 pixels: give one that has any")
}

func FuzzDecodeImage(f *testing.F) {
	photo := image.NewRGBA(image.Rect(0, 0, 9, 5))
	f.Add(jpegWith(f, photo, tiff(binary.LittleEndian, 0x0112, 3, 6)))
	f.Add(pngWith(f, photo, tiff(binary.BigEndian, 0x0112, 3, 8)))
	f.Add(jpegHeader(30000, 30000))
	f.Fuzz(func(t *testing.T, file []byte) {
		decodeConfig := png.DecodeConfig
		if bytes.HasPrefix(file, []byte(jpegMagic)) {
			decodeConfig = jpeg.DecodeConfig
		}
		if c, err := decodeConfig(bytes.NewReader(file)); err == nil && c.Width*c.Height > 1<<20 {
			return // it would be slow, not wrong
		}
		if img, err := DecodeImage(bytes.NewReader(file)); err == nil {
			require.NoError(t, img.check())
		}
	})
}

func FuzzOrientation(f *testing.F) {
	photo := image.NewRGBA(image.Rect(0, 0, 1, 1))
	f.Add(jpegWith(f, photo, tiff(binary.LittleEndian, 0x0112, 3, 6)))
	f.Add(pngWith(f, photo, tiff(binary.BigEndian, 0x0112, 3, 8)))
	f.Fuzz(func(t *testing.T, file []byte) {
		if o := orientation(file); o < 1 || o > 8 {
			t.Errorf("orientation %d, want 1 to 8", o)
		}
	})
}

// tiff is a block with two entries, of which the second has the tag and type.
func tiff(order binary.AppendByteOrder, tag, typ uint16, value int) []byte {
	b := []byte("MM")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		b = []byte("II")
	}
	b = order.AppendUint16(b, 42)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, e := range []struct{ tag, typ, value uint16 }{{0x0100, 3, 5}, {tag, typ, uint16(value)}} {
		b = order.AppendUint16(b, e.tag)
		b = order.AppendUint16(b, e.typ)
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, e.value)
		b = order.AppendUint16(b, 0)
	}
	return order.AppendUint32(b, 0)
}

// jpegWith has an EXIF segment unless exif is nil, behind one of another kind.
func jpegWith(t testing.TB, img image.Image, exif []byte) []byte {
	var file bytes.Buffer
	require.NoError(t, jpeg.Encode(&file, img, &jpeg.Options{Quality: 95}))
	b := file.Bytes()
	if exif == nil {
		return b
	}
	segments := []byte("\xff\xe1\x00\x08http\x00\x00\xff\xe1")
	segments = binary.BigEndian.AppendUint16(segments, uint16(2+6+len(exif)))
	segments = append(append(segments, "Exif\x00\x00"...), exif...)
	return append(append(bytes.Clone(b[:2]), segments...), b[2:]...)
}

func pngWith(t testing.TB, img image.Image, exif []byte) []byte {
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, img))
	const head = 8 + 25 // magic and IHDR
	b := file.Bytes()
	if exif == nil {
		return b
	}
	return append(append(bytes.Clone(b[:head]), chunk("eXIf", exif)...), b[head:]...)
}

func chunk(name string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, name...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func pngHeader(width, height uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32(nil, width)
	ihdr = binary.BigEndian.AppendUint32(ihdr, height)
	return append([]byte(pngMagic), chunk("IHDR", append(ihdr, 8, 2, 0, 0, 0))...)
}

func jpegHeader(width, height uint16) []byte {
	b := []byte("\xff\xd8\xff\xc0\x00\x11\x08")
	b = binary.BigEndian.AppendUint16(b, height)
	b = binary.BigEndian.AppendUint16(b, width)
	return append(b, "\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00"...)
}
