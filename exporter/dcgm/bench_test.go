package dcgm

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// What one answer of the worker costs the agent: 8 GPUs with the default fields, and with all fields of 7 instances each.
func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{500, 2000} {
		var readings []gpu.Reading
		now := time.Now()
		for i := range n {
			e := gpu.Entity{GPU: gpu.UUID(fmt.Sprintf("GPU-88c31e52-a259-49c9-86cc-%012d", i/20)), Instance: uint32(i / 20)}
			readings = append(readings, gpu.Reading{Entity: e, Field: gpu.Field(i % 20), Value: 0.123456789 * float64(i), At: now})
		}
		var buf bytes.Buffer
		_ = writeFrame(&buf, answer{Parts: []part{{columns: pack(readings)}}})
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(buf.Len()))
			for b.Loop() {
				var a answer
				if err := readFrame(bytes.NewReader(buf.Bytes()), &a); err != nil {
					b.Fatal(err)
				}
				if _, err := a.Parts[0].unpack(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
