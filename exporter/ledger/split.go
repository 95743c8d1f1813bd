package ledger

import (
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// split divides the cost of devices: in equal parts among the containers that have one, however many replicas each has of it,
// so that the parts add up to the price.
type split struct {
	containers map[gpu.Device]int
	holds      map[owned]int
}

// owned is a device, without its replica, in the hands of a container.
type owned struct {
	device gpu.Device
	by     sample.Container
}

func newSplit(holds []sample.Hold) split {
	s := split{containers: map[gpu.Device]int{}, holds: map[owned]int{}}
	for _, h := range holds {
		o := owned{h.Device.Base(), h.Container}
		if s.holds[o]++; s.holds[o] == 1 {
			s.containers[o.device]++
		}
	}
	return s
}

// of is the part (0 to 1) of its device that a hold pays for.
func (s split) of(h sample.Hold) float64 {
	o := owned{h.Device.Base(), h.Container}
	return 1 / float64(s.containers[o.device]) / float64(s.holds[o])
}
