package plan

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

// card is a simulated GPU in MIG mode: where geometries come from, and what says whether a layout can exist.
type card struct {
	t        testing.TB
	ctx      context.Context
	client   *model.Client
	device   model.Device
	geometry mig.Geometry
}

// cards are the models of the tests, by the shape that has them.
func cards() map[string]string {
	return map[string]string{
		"A30": "a30x4", "A100-40": "a100-40x8", "A100-80": "dgx-a100", "H100": "hgx-h100", "H200": "hgx-h200", "B200": "hgx-b200", "RTX PRO 6000": "rtx6000x4",
	}
}

func newCard(t testing.TB, name string) *card {
	t.Helper()
	s, err := shapes.Load(cards()[name])
	if err != nil {
		t.Fatal(err)
	}
	n, err := model.New(s, model.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := &card{t: t, ctx: context.Background(), client: n.Connect(model.Caller{PID: 1, Name: "test"})}
	t.Cleanup(c.client.Close)
	c.want(c.client.InitWithFlags(c.ctx, 0))
	var ret model.Return
	c.device, ret = c.client.DeviceGetHandleByIndex(c.ctx, 0)
	c.want(ret)
	memory, ret := c.client.DeviceGetMemoryInfo(c.ctx, c.device)
	c.want(ret)
	var raw []mig.RawProfile
	for enum := uint32(0); ; enum++ {
		p, ret := c.client.DeviceGetGpuInstanceProfileInfo(c.ctx, c.device, enum)
		if ret == model.InvalidArgument {
			break
		}
		if ret == model.NotSupported {
			continue
		}
		c.want(ret)
		r := mig.RawProfile{
			Enum: int(enum), ID: p.ID, Name: p.Name, Slices: int(p.SliceCount), Instances: int(p.InstanceCount), MemoryMiB: p.MemorySizeMB,
			Engines: mig.Engines{Decoders: int(p.DecoderCount), Encoders: int(p.EncoderCount), JPEG: int(p.JpegCount), OFA: int(p.OfaCount)},
		}
		places, ret := c.client.DeviceGetGpuInstancePossiblePlacements(c.ctx, c.device, p.ID)
		c.want(ret)
		for _, pl := range places {
			r.Placements = append(r.Placements, mig.Placement{Start: int(pl.Start), Size: int(pl.Size)})
		}
		raw = append(raw, r)
	}
	c.geometry, _ = mig.Assemble(raw, memory.Total)
	activation, ret := c.client.DeviceSetMigMode(c.ctx, c.device, 1)
	c.want(ret)
	c.want(activation)
	return c
}

func (c *card) want(ret model.Return) {
	c.t.Helper()
	if ret != model.Success {
		c.t.Fatalf("the simulated driver says %v", ret)
	}
}

// holds reports whether the slots can be made one by one in this order, and takes them away again.
func (c *card) holds(slots []mig.Slot) error {
	var made []model.GPUInstance
	defer func() {
		for _, gi := range made {
			c.want(c.client.GpuInstanceDestroy(c.ctx, gi))
		}
	}()
	for _, s := range slots {
		i := slices.IndexFunc(c.geometry.Profiles, func(p mig.ProfileInfo) bool { return p.Profile == s.Profile })
		if i < 0 {
			return fmt.Errorf("there is no profile %s", s.Profile)
		}
		gi, ret := c.client.DeviceCreateGpuInstanceWithPlacement(c.ctx, c.device, c.geometry.Profiles[i].ID,
			model.Placement{Start: uint32(s.Placement.Start), Size: uint32(s.Placement.Size)})
		if ret != model.Success {
			return fmt.Errorf("create %s: %w", s, ret)
		}
		made = append(made, gi)
	}
	return nil
}

// slot finds a slot by its text, such as "3g.40gb@4".
func (c *card) slot(text string) mig.Slot {
	c.t.Helper()
	for _, p := range c.geometry.Profiles {
		for _, pl := range p.Placements {
			if s := (mig.Slot{Profile: p.Profile, Placement: pl}); s.String() == text {
				return s
			}
		}
	}
	c.t.Fatalf("no slot %s", text)
	return mig.Slot{}
}

func (c *card) profile(name string) mig.Profile {
	c.t.Helper()
	p, err := mig.ParseProfile(name)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// gpus are n GPUs of the card, not in MIG mode and free to change it.
func (c *card) gpus(n int) (out []GPU) {
	for i := range n {
		out = append(out, GPU{UUID: gpu.UUID(fmt.Sprintf("GPU-%02d", i)), Index: i, Geometry: c.geometry, Mode: Mode{May: true}})
	}
	return out
}

// sliced are n GPUs in MIG mode for good, as on Ampere.
func (c *card) sliced(n int) []GPU {
	out := c.gpus(n)
	for i := range out {
		out[i].Mode = Mode{On: true, Why: "it changes only with a reset"}
	}
	return out
}

// pods are demands of one device each, the oldest first; "gpu" is a whole one.
func (c *card) pods(names ...string) (out []Demand) {
	for i, name := range names {
		var r Resource
		if name != "gpu" {
			r.Profile = c.profile(name)
		}
		out = append(out, Demand{ID: fmt.Sprintf("%02d", i), Name: fmt.Sprintf("pod t/p%d", i), Asks: []Ask{{r, 1}}, Age: int64(len(names) - i)})
	}
	return out
}
