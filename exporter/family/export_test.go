package family

import (
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/gpu"
)

// Numbers are DCGM's numbers by name.
func Numbers() map[string]gpu.Field {
	out := map[string]gpu.Field{}
	for line := range strings.Lines(upstream) {
		words := strings.Fields(line)
		if id, err := strconv.Atoi(words[0]); err == nil {
			for _, n := range words[1:] {
				out[n] = gpu.Field(id)
			}
		}
	}
	return out
}
