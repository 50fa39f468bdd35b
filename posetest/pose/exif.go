package pose

import (
	"bytes"
	"encoding/binary"
)

const upright = 1

// orientation gives the EXIF orientation, 1…8, of a JPEG or PNG file, and
// upright where there is none or it cannot be read.
func orientation(file []byte) int {
	if bytes.HasPrefix(file, []byte(pngMagic)) {
		return tiffOrientation(pngExif(file[len(pngMagic):]))
	}
	return tiffOrientation(jpegExif(file))
}

// jpegExif finds the TIFF block of the APP1 segment among those before the scan.
func jpegExif(file []byte) []byte {
	for p := 2; p+4 <= len(file) && file[p] == 0xff; {
		marker, size := file[p+1], int(binary.BigEndian.Uint16(file[p+2:]))
		if marker == 0xff { // padding
			p++
			continue
		}
		if size < 2 || p+2+size > len(file) || marker == 0xda {
			return nil
		}
		if tiff, ok := bytes.CutPrefix(file[p+4:p+2+size], []byte("Exif\x00\x00")); ok && marker == 0xe1 {
			return tiff
		}
		p += 2 + size
	}
	return nil
}

// pngExif finds the eXIf chunk: length, type, data, sum.
func pngExif(chunks []byte) []byte {
	for len(chunks) >= 12 {
		size := uint64(binary.BigEndian.Uint32(chunks))
		if size > uint64(len(chunks)-12) {
			return nil
		}
		if string(chunks[4:8]) == "eXIf" {
			return chunks[8 : 8+size]
		}
		chunks = chunks[12+size:]
	}
	return nil
}

// tiffOrientation reads tag 0x0112, a single short, from the first directory
// (TIFF 6.0, sections 2 and 8).
func tiffOrientation(tiff []byte) int {
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case bytes.HasPrefix(tiff, []byte("MM\x00*")):
		order = binary.BigEndian
	case !bytes.HasPrefix(tiff, []byte("II*\x00")):
		return upright
	}
	if len(tiff) < 8 || uint64(order.Uint32(tiff[4:]))+2 > uint64(len(tiff)) {
		return upright
	}
	directory := tiff[order.Uint32(tiff[4:]):]
	entries := directory[2:]
	for range order.Uint16(directory) {
		if len(entries) < 12 {
			break
		}
		if order.Uint16(entries) == 0x0112 && order.Uint16(entries[2:]) == 3 {
			if o := int(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
		}
		entries = entries[12:]
	}
	return upright
}
