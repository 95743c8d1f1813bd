package plan

// maxKinds is how many resources one plan looks at, maxCount how many devices of one.
const (
	maxKinds = 16
	maxCount = 127
	fields   = 0x8080808080808080 // the guard bit of each field
)

// vec counts devices by kind: sixteen fields of seven bits, each with a guard bit that is 0.
type vec [2]uint64

func (v vec) at(k int) int { return int(v[k>>3] >> (8 * (k & 7)) & 0x7f) }

func (v *vec) set(k, n int) {
	shift := 8 * (k & 7)
	v[k>>3] = v[k>>3]&^(0xff<<shift) | uint64(min(max(n, 0), maxCount))<<shift
}

// covers reports whether v is at least w in every field.
func (v vec) covers(w vec) bool {
	return ((v[0]|fields)-w[0])&fields == fields && ((v[1]|fields)-w[1])&fields == fields
}

// minus takes w away, down to 0 in each field.
func (v vec) minus(w vec) vec { return vec{less(v[0], w[0]), less(v[1], w[1])} }

func less(a, b uint64) uint64 {
	t := (a | fields) - b
	kept := t & fields // of the fields that did not run below 0
	return t & (kept - kept>>7)
}

// plus adds, up to maxCount in each field.
func (v vec) plus(w vec) (out vec) {
	for i := range out {
		sum := v[i] + w[i]
		over := sum & fields
		out[i] = sum&^fields | (over - over>>7)
	}
	return out
}

// capped is the smaller of the two in each field.
func (v vec) capped(limit vec) vec { return v.minus(v.minus(limit)) }

// dot is the sum of the fields, each times its weight.
func (v vec) dot(weights []int64) (sum int64) {
	for k, x := 0, v[0]; x != 0 && k < len(weights); k++ {
		sum += int64(x&0x7f) * weights[k]
		x >>= 8
	}
	for k, x := 8, v[1]; x != 0 && k < len(weights); k++ {
		sum += int64(x&0x7f) * weights[k]
		x >>= 8
	}
	return sum
}
