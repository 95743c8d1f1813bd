package fleet

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// requestKey is the same for the same requests.
func requestKey(requests map[string]int64) string {
	if len(requests) == 1 {
		for name, n := range requests {
			return name + "=" + strconv.FormatInt(n, 10)
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(strconv.FormatInt(requests[name], 10))
		b.WriteByte(';')
	}
	return b.String()
}
