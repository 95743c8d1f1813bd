package expose

import (
	"strings"
	"unicode/utf8"

	"github.com/gpulet/gpulet/gpu"
)

// maxReason is the most bytes of a reason.
const maxReason = 80

// short makes a label value of a reason for people: without what it waits for, and without times, counts and errors of the
// system, each of which would begin a new series. It is empty for a healthy device.
func short(h gpu.Health) string {
	if h.State == gpu.Healthy {
		return ""
	}
	s := strings.TrimPrefix(h.Reason, "recovering from: ")
	s = strings.TrimLeft(s, "0123456789 ")
	for _, end := range []string{";", " since ", " ("} {
		s, _, _ = strings.Cut(s, end)
	}
	for i := range len(s) {
		if rest, ok := strings.CutPrefix(s[i:], " at "); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			s = s[:i]
			break
		}
	}
	if !strings.HasPrefix(s, "XID ") { // "XID 79: fell off the bus" is from the catalogue
		s, _, _ = strings.Cut(s, ": ")
	}
	s = clean(s)
	for len(s) > maxReason {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
