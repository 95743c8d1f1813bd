package model

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Load is what a GPU or an instance does over time. Level is percent of the target's SMs.
type Load struct {
	// Kind is "constant", "ramp", "sine" or "trace".
	Kind string `json:"kind" yaml:"kind"`
	// Level is the constant, the ramp's end, the sine's middle.
	Level float64 `json:"level" yaml:"level"`
	// From is the ramp's start; Amplitude the sine's.
	From      float64 `json:"from" yaml:"from"`
	Amplitude float64 `json:"amplitude" yaml:"amplitude"`
	// Period is the ramp's length, the sine's period, the distance between two points of a trace (which repeats).
	Period time.Duration `json:"period" yaml:"period"`
	Points []float64     `json:"points" yaml:"points"`
	// Mix says what the level means for each unit.
	Mix Mix `json:"mix" yaml:"mix"`
}

// Mix gives each unit's activity as a part of the load's level: 1 is the same percent. 0 means the usual part (in brackets), a
// negative number none.
type Mix struct {
	DRAM    float64 `json:"dram" yaml:"dram"`       // DRAM bandwidth (0.6)
	Tensor  float64 `json:"tensor" yaml:"tensor"`   // tensor cores (0.5)
	FP64    float64 `json:"fp64" yaml:"fp64"`       // (0)
	FP32    float64 `json:"fp32" yaml:"fp32"`       // (0.3)
	FP16    float64 `json:"fp16" yaml:"fp16"`       // (0.2)
	PCIe    float64 `json:"pcie" yaml:"pcie"`       // part of the link's bandwidth (0.05)
	NVLink  float64 `json:"nvlink" yaml:"nvlink"`   // part of all links' bandwidth (0.1)
	Encoder float64 `json:"encoder" yaml:"encoder"` // (0)
	Decoder float64 `json:"decoder" yaml:"decoder"` // (0)
}

func (l Load) validate() error {
	switch l.Kind {
	case "", "constant":
		return nil
	case "ramp", "sine":
		if l.Period <= 0 {
			return fmt.Errorf("a %s needs a period", l.Kind)
		}
		return nil
	case "trace":
		if l.Period <= 0 || len(l.Points) == 0 {
			return errors.New("a trace needs points and a period")
		}
		return nil
	}
	return fmt.Errorf("no load of kind %q; there are constant, ramp, sine and trace", l.Kind)
}

// loadState is a load since a moment; the zero value is none.
type loadState struct {
	Load
	on   bool
	from time.Time
}

// level is the percent at t, 0 to 100.
func (l *loadState) level(t time.Time) float64 {
	if !l.on {
		return 0
	}
	v, dt := l.Level, max(0, t.Sub(l.from))
	switch l.Kind {
	case "ramp":
		v = l.From + (l.Level-l.From)*math.Min(1, float64(dt)/float64(l.Period))
	case "sine":
		v = l.Level + l.Amplitude*math.Sin(2*math.Pi*float64(dt)/float64(l.Period))
	case "trace":
		v = l.Points[int(dt/l.Period)%len(l.Points)]
	}
	return math.Max(0, math.Min(100, v))
}

// SetLoad replaces the load of a GPU or instance; the zero Load removes it. On a GPU in MIG mode a load of the whole GPU is that of
// each instance without one of its own.
func (n *Node) SetLoad(t Target, l Load) error {
	if err := l.validate(); err != nil {
		return err
	}
	return n.withGPU(t.GPU, func(g *gpu) error {
		gi, ci, err := g.find(t)
		if err != nil {
			return err
		}
		n.advance(g)
		state := loadState{Load: l, on: l.Kind != "" || l.Level != 0, from: n.clock.Now()}
		switch {
		case ci != nil:
			ci.load = state
		case gi != nil:
			gi.load = state
		default:
			g.load = state
		}
		return nil
	})
}

// The units whose activity is kept: percent of the target, then bytes per second, then watts and seconds.
const (
	actGraphics = iota
	actSM
	actOccupancy
	actInteger
	actTensor
	actDRAM
	actFP64
	actFP32
	actFP16
	actEncoder
	actDecoder
	actPCIeTx
	actPCIeRx
	actNVLinkTx
	actNVLinkRx
	actWatts
	actPowerCap // 1 while the power limit holds the clocks down
	actSeconds
	actCount
)

type activity [actCount]float64

func (a *activity) add(b activity, part float64) {
	for i := range a {
		a[i] += b[i] * part
	}
}

func part(v, usual float64) float64 {
	switch {
	case v < 0:
		return 0
	case v == 0:
		return usual
	}
	return v
}

// activityOf turns a percent of SMs into the activity of all units; share is the target's part of the GPU.
func (g *gpu) activityOf(level float64, m Mix, share float64) activity {
	var a activity
	a[actGraphics] = level
	a[actSM] = level
	a[actOccupancy] = level * 0.5
	a[actInteger] = level * 0.25
	a[actTensor] = level * part(m.Tensor, 0.5)
	a[actDRAM] = level * part(m.DRAM, 0.6)
	a[actFP64] = level * part(m.FP64, 0)
	a[actFP32] = level * part(m.FP32, 0.3)
	a[actFP16] = level * part(m.FP16, 0.2)
	a[actEncoder] = level * part(m.Encoder, 0)
	a[actDecoder] = level * part(m.Decoder, 0)
	for i := actGraphics; i <= actDecoder; i++ {
		a[i] = math.Min(a[i], 100)
	}
	pcie := level / 100 * part(m.PCIe, 0.05) * g.pcieBytes() * share
	a[actPCIeTx], a[actPCIeRx] = pcie*0.4, pcie
	if !g.mig { // MIG mode switches NVLink off
		links := level / 100 * part(m.NVLink, 0.1) * g.nvlinkBytes() * share
		a[actNVLinkTx], a[actNVLinkRx] = links, links
	}
	return a
}

// pcieBytes is the link's bandwidth in one direction, bytes per second.
func (g *gpu) pcieBytes() float64 {
	perLane := map[uint32]float64{3: 0.985e9, 4: 1.969e9, 5: 3.938e9}[g.spec.pcieGen]
	return perLane * float64(g.spec.pcieWidth)
}

func (g *gpu) nvlinkBytes() float64 {
	return float64(g.activeLinks()) * float64(g.spec.nvlinkMBps) * 1e6
}
