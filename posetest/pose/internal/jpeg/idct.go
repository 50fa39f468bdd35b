package jpeg

const blockSize = 8 * 8

// A block is 8×8 coefficients or samples in natural order.
type block [blockSize]int32

// Multipliers of 1-D DCT rotations in units of 1/8192.
const (
	fix0298631336 = 2446
	fix0390180644 = 3196
	fix0541196100 = 4433
	fix0765366865 = 6270
	fix0899976223 = 7373
	fix1175875602 = 9633
	fix1501321110 = 12299
	fix1847759065 = 15137
	fix1961570560 = 16069
	fix2053119869 = 16819
	fix2562915447 = 20995
	fix3072711026 = 25172
	fixBits       = 13
)

// idct is jpeg_idct_islow of libjpeg (jidctint.c), rounding included: columns,
// kept with 2 more bits, then rows. The samples are centred at 0 and not clipped.
func idct(b *block) {
	for i := range 8 {
		idct8(b, i, 8, fixBits-2)
	}
	for i := range 8 {
		idct8(b, 8*i, 1, fixBits+2+3)
	}
}

// idct8 transforms the 8 elements from b[at] on, stride apart, and drops bits
// of the result: Loeffler, Ligtenberg and Moschytz, "Practical Fast 1-D DCT
// Algorithms with 11 Multiplications", the variant with 12.
func idct8(b *block, at, stride int, bits uint) {
	v := func(i int) *int32 { return &b[at+i*stride] }

	z := (*v(2) + *v(6)) * fix0541196100
	even2 := z - *v(6)*fix1847759065
	even3 := z + *v(2)*fix0765366865
	even0 := (*v(0) + *v(4)) << fixBits
	even1 := (*v(0) - *v(4)) << fixBits
	sums := [4]int32{even0 + even3, even1 + even2, even1 - even2, even0 - even3}

	odd0, odd1, odd2, odd3 := *v(7), *v(5), *v(3), *v(1)
	z1 := -(odd0 + odd3) * fix0899976223
	z2 := -(odd1 + odd2) * fix2562915447
	z5 := (odd0 + odd2 + odd1 + odd3) * fix1175875602
	z3 := z5 - (odd0+odd2)*fix1961570560
	z4 := z5 - (odd1+odd3)*fix0390180644
	odds := [4]int32{
		odd3*fix1501321110 + z1 + z4,
		odd2*fix3072711026 + z2 + z3,
		odd1*fix2053119869 + z2 + z4,
		odd0*fix0298631336 + z1 + z3,
	}

	half := int32(1) << (bits - 1)
	for i := range 4 {
		*v(i) = (sums[i] + odds[i] + half) >> bits
		*v(7 - i) = (sums[i] - odds[i] + half) >> bits
	}
}
