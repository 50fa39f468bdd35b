package pose

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"

	"github.com/posetest/suite/posetest/pose/internal/jpeg"
)

// MaxPixels is the largest photograph that is read: 134 megapixels, more than
// any camera in common use makes.
const MaxPixels = 1 << 27

const (
	maxFileBytes = 1 << 29
	jpegMagic    = "\xff\xd8"
	pngMagic     = "\x89PNG\r\n\x1a\n"
)

// An Image is a photograph: 8-bit RGB, row by row without padding, EXIF
// orientation applied. Pix has 3·Width·Height bytes.
type Image struct {
	Width, Height int
	Pix           []uint8
}

// ReadImage is [DecodeImage] of a file; its errors name the file.
func ReadImage(path string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("photograph cannot be opened: %w", err)
	}
	defer f.Close()
	img, err := decode(f)
	if err != nil {
		return nil, fmt.Errorf("photograph %s %w", path, err)
	}
	return img, nil
}

// DecodeImage reads a JPEG or PNG of any colour model, the pixels being those
// of cv2.imread (of a YCCK JPEG within 1): alpha is dropped, not blended, and
// 16 bits become the upper 8. EXIF orientation is applied; one that cannot be
// read counts as none. A file that is cut short is an error, and so are more
// than [MaxPixels], which are refused before memory is set aside for them.
func DecodeImage(r io.Reader) (*Image, error) {
	img, err := decode(r)
	if err != nil {
		return nil, fmt.Errorf("photograph %w", err)
	}
	return img, nil
}

// decode is DecodeImage with errors that lack their subject.
func decode(r io.Reader) (*Image, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	decodeConfig, decodePixels := jpeg.DecodeConfig, jpeg.Decode
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", err)
	case len(data) == 0:
		return nil, errors.New("is empty: give a JPEG or PNG")
	case len(data) > maxFileBytes:
		return nil, fmt.Errorf("has more than %d MiB: give a smaller file", maxFileBytes>>20)
	case bytes.HasPrefix(data, []byte(pngMagic)):
		decodeConfig, decodePixels = png.DecodeConfig, png.Decode
	case !bytes.HasPrefix(data, []byte(jpegMagic)):
		return nil, errors.New("is neither JPEG nor PNG: convert it to one of them")
	}
	conf, err := decodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, unreadable(err)
	}
	if err := checkSize(conf.Width, conf.Height); err != nil {
		return nil, err
	}
	src, err := decodePixels(bytes.NewReader(data))
	if err != nil {
		return nil, unreadable(err)
	}
	return convert(src, orientation(data)), nil
}

// FromImage copies an image of at most [MaxPixels], as DecodeImage would have
// read it.
func FromImage(src image.Image) (*Image, error) {
	if err := checkSize(src.Bounds().Dx(), src.Bounds().Dy()); err != nil {
		return nil, fmt.Errorf("photograph %w", err)
	}
	return convert(src, upright), nil
}

func unreadable(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("is cut short: get a whole copy of the file")
	}
	return fmt.Errorf("cannot be decoded, save it anew or take another: %w", err)
}

func checkSize(width, height int) error {
	switch {
	case width <= 0 || height <= 0:
		return fmt.Errorf("is %d×%d pixels: give one that has any", width, height)
	case width > MaxPixels/height:
		return fmt.Errorf("is %d×%d pixels, more than %d: scale it down", width, height, MaxPixels)
	}
	return nil
}

// convert copies src, turned as the EXIF orientation says.
func convert(src image.Image, orientation int) *Image {
	at := pixels(src)
	b := src.Bounds()
	w, h := b.Dx(), b.Dy()
	img := &Image{Width: w, Height: h}
	if orientation >= 5 {
		img.Width, img.Height = h, w
	}
	img.Pix = make([]uint8, 3*w*h)
	i := 0
	for y := range img.Height {
		for x := range img.Width {
			sx, sy := x, y
			switch orientation {
			case 2:
				sx = w - 1 - x
			case 3:
				sx, sy = w-1-x, h-1-y
			case 4:
				sy = h - 1 - y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, h-1-x
			case 7:
				sx, sy = w-1-y, h-1-x
			case 8:
				sx, sy = w-1-y, x
			}
			px := img.Pix[i : i+3 : i+3]
			px[0], px[1], px[2] = at(b.Min.X+sx, b.Min.Y+sy)
			i += 3
		}
	}
	return img
}

// pixels gives a function that reads src's pixels as 8-bit RGB.
func pixels(src image.Image) func(x, y int) (r, g, b uint8) {
	switch m := src.(type) {
	case *image.YCbCr:
		return libjpegPixels(m)
	case *image.NRGBA:
		return func(x, y int) (uint8, uint8, uint8) {
			c := m.NRGBAAt(x, y)
			return c.R, c.G, c.B
		}
	case *image.NRGBA64:
		return func(x, y int) (uint8, uint8, uint8) {
			c := m.NRGBA64At(x, y)
			return uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8)
		}
	case *image.Paletted:
		return func(x, y int) (uint8, uint8, uint8) {
			if c, ok := m.At(x, y).(color.NRGBA); ok {
				return c.R, c.G, c.B
			}
			return upper(m.RGBA64At(x, y))
		}
	case *image.CMYK:
		return func(x, y int) (uint8, uint8, uint8) {
			c := m.CMYKAt(x, y)
			return inked(c.C, c.K), inked(c.M, c.K), inked(c.Y, c.K)
		}
	case image.RGBA64Image:
		return func(x, y int) (uint8, uint8, uint8) { return upper(m.RGBA64At(x, y)) }
	}
	return func(x, y int) (uint8, uint8, uint8) {
		return upper(color.RGBA64Model.Convert(src.At(x, y)).(color.RGBA64))
	}
}

// inked is what black and another ink leave of a primary colour, as OpenCV
// computes it (icvCvt_CMYK2BGR_8u_C4C3R in utils.cpp).
func inked(ink, black uint8) uint8 {
	paper := 255 - int(black)
	return uint8(paper - int(ink)*paper>>8)
}

func upper(c color.RGBA64) (r, g, b uint8) {
	return uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8)
}

func (img *Image) row(y int) []uint8 {
	return img.Pix[3*img.Width*y:][:3*img.Width]
}

func (img *Image) check() error {
	if img == nil {
		return errors.New("photograph is missing")
	}
	if err := checkSize(img.Width, img.Height); err != nil {
		return fmt.Errorf("photograph %w", err)
	}
	if want := 3 * img.Width * img.Height; len(img.Pix) != want {
		return fmt.Errorf("photograph of %d×%d pixels has %d bytes, want %d", img.Width, img.Height, len(img.Pix), want)
	}
	return nil
}
