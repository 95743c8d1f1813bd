package model

import (
	"context"
	"time"
)

// Sums are what a GPU or an instance has done since the driver was loaded or the instance was made: the difference of two divided by
// that of Seconds is the mean in between. Utilisation is in percent times seconds, traffic in bytes.
type Sums struct {
	At                                                                                 time.Time
	Seconds                                                                            float64
	Graphics, SM, Occupancy, Integer, Tensor, DRAM, FP64, FP32, FP16, Encoder, Decoder float64
	PCIeTx, PCIeRx, NVLinkTx, NVLinkRx                                                 float64
	// CycleHz is how many cycles all SMs of the target have in a second.
	CycleHz float64
	// Links are the NVLinks that the traffic goes over now.
	Links uint32
}

func sums(m meter, hz float64) Sums {
	a := m.sum
	return Sums{
		At: m.at, Seconds: a[actSeconds], Graphics: a[actGraphics], SM: a[actSM], Occupancy: a[actOccupancy], Integer: a[actInteger],
		Tensor: a[actTensor], DRAM: a[actDRAM], FP64: a[actFP64], FP32: a[actFP32], FP16: a[actFP16], Encoder: a[actEncoder],
		Decoder: a[actDecoder], PCIeTx: a[actPCIeTx], PCIeRx: a[actPCIeRx], NVLinkTx: a[actNVLinkTx], NVLinkRx: a[actNVLinkRx], CycleHz: hz,
	}
}

// cycleHz of so many SMs. The simulation counts at the highest clock: only ratios of cycles are meant to be exact.
func (g *gpu) cycleHz(sms uint32) float64 { return float64(sms) * float64(g.spec.maxMHz) * 1e6 }

// ProfilingSums reads the hardware's counters of a GPU, of a GPU instance or of a compute instance, on every model: it is what DCGM's
// profiling module reads past NVML. NotFound without that instance.
func (c *Client) ProfilingSums(ctx context.Context, d Device, gi, ci uint32) (s Sums, ret Return) {
	ret = c.gpu(ctx, "profiling", d, func(g *gpu) Return {
		i, k, err := g.find(Target{GI: gi, CI: ci})
		if err != nil {
			return NotFound
		}
		c.node.advance(g)
		switch {
		case k != nil:
			s = sums(k.meter, g.cycleHz(k.profile.sms))
		case i != nil:
			s = sums(i.meter, g.cycleHz(i.profile.sms))
		default:
			s = sums(g.meter, g.cycleHz(g.spec.sms))
			s.Links = g.activeLinks()
		}
		return Success
	})
	return s, ret
}
