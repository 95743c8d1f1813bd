package model_test

import (
	"slices"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// TestLayouts counts every layout, partial ones and the empty one too, by creating and destroying; the counts are those of an
// independent enumeration.
func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		name, shape string
		profiles    []uint32
		placements  int
		layouts     int
	}{
		{"A100", "dgx-a100", []uint32{19, 14, 9, 5, 0}, 14, 298},
		{"A100 with double memory", "dgx-a100", []uint32{19, 14, 9, 5, 0, 15}, 18, 723},
		{"A100 with media", "dgx-a100", []uint32{19, 14, 9, 5, 0, 15, 20}, 25, 2319},
		{"H100 with media", "hgx-h100", []uint32{19, 14, 9, 5, 0, 15, 20}, 25, 2319},
		{"B200 with media", "hgx-b200", []uint32{19, 14, 9, 5, 0, 15, 20}, 25, 2319},
		{"A30", "a30x4", []uint32{14, 5, 0}, 7, 26},
		{"A30 with media", "a30x4", []uint32{14, 5, 0, 21, 6}, 13, 76},
		{"RTX PRO 6000", "rtx6000x4", []uint32{14, 5, 0}, 7, 26},
		{"RTX PRO 6000, all", "rtx6000x4", []uint32{14, 47, 21, 65, 67, 5, 35, 64, 66, 0, 32}, 30, 717},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, c.shape)
			d := r.mig(0)
			type slot struct {
				profile uint32
				at      model.Placement
			}
			var slots []slot
			for _, p := range c.profiles {
				for _, at := range r.placements(d, p) {
					slots = append(slots, slot{p, at})
				}
			}
			if len(slots) != c.placements {
				t.Errorf("%d placements, want %d", len(slots), c.placements)
			}
			layouts := 0
			var walk func(from int)
			walk = func(from int) {
				layouts++
				for i := from; i < len(slots); i++ {
					gi, ret := r.c.DeviceCreateGpuInstanceWithPlacement(r.ctx, d, slots[i].profile, slots[i].at)
					if ret == model.InsufficientResources {
						continue
					}
					r.want(ret, model.Success)
					walk(i + 1)
					r.want(r.c.GpuInstanceDestroy(r.ctx, gi), model.Success)
				}
			}
			walk(0)
			if layouts != c.layouts {
				t.Errorf("%d layouts, want %d", layouts, c.layouts)
			}
		})
	}
}

// TestProfiles compares what the driver tells of each profile with NVIDIA's tables.
func TestProfiles(t *testing.T) {
	for _, c := range []struct {
		shape string
		index uint32
		enum  uint32
		want  model.GpuInstanceProfileInfo
	}{
		{"dgx-a100", 0, 0, model.GpuInstanceProfileInfo{ID: 19, SliceCount: 1, InstanceCount: 7, MultiprocessorCount: 14, CopyEngineCount: 1, MemorySizeMB: 9728, Name: "MIG 1g.10gb"}},
		{"dgx-a100", 0, 7, model.GpuInstanceProfileInfo{ID: 20, SliceCount: 1, InstanceCount: 1, MultiprocessorCount: 14, CopyEngineCount: 1, DecoderCount: 1, JpegCount: 1, OfaCount: 1, MemorySizeMB: 9728, Name: "MIG 1g.10gb+me"}},
		{"dgx-a100", 0, 9, model.GpuInstanceProfileInfo{ID: 15, SliceCount: 1, InstanceCount: 4, MultiprocessorCount: 14, CopyEngineCount: 1, DecoderCount: 1, MemorySizeMB: 19968, Name: "MIG 1g.20gb"}},
		{"dgx-a100", 0, 2, model.GpuInstanceProfileInfo{ID: 9, SliceCount: 3, InstanceCount: 2, MultiprocessorCount: 42, CopyEngineCount: 3, DecoderCount: 2, MemorySizeMB: 40192, Name: "MIG 3g.40gb"}},
		{"dgx-a100", 0, 4, model.GpuInstanceProfileInfo{ID: 0, SliceCount: 7, InstanceCount: 1, MultiprocessorCount: 98, CopyEngineCount: 7, DecoderCount: 5, JpegCount: 1, OfaCount: 1, MemorySizeMB: 80896, Name: "MIG 7g.80gb"}},
		{"a100-40x8", 0, 1, model.GpuInstanceProfileInfo{ID: 14, SliceCount: 2, InstanceCount: 3, MultiprocessorCount: 28, CopyEngineCount: 2, DecoderCount: 1, MemorySizeMB: 9856, Name: "MIG 2g.10gb"}},
		{"a30x4", 0, 3, model.GpuInstanceProfileInfo{ID: 0, SliceCount: 4, InstanceCount: 1, MultiprocessorCount: 56, CopyEngineCount: 4, DecoderCount: 4, JpegCount: 1, OfaCount: 1, MemorySizeMB: 24000, Name: "MIG 4g.24gb"}},
		{"rtx6000x4", 0, 16, model.GpuInstanceProfileInfo{ID: 64, SliceCount: 2, InstanceCount: 1, MultiprocessorCount: 94, CopyEngineCount: 2, DecoderCount: 4, EncoderCount: 4, JpegCount: 4, OfaCount: 1, MemorySizeMB: 48512, Name: "MIG 2g.48gb+me.all"}},
		{"rtx6000x4", 0, 12, model.GpuInstanceProfileInfo{ID: 32, SliceCount: 4, InstanceCount: 1, MultiprocessorCount: 188, CopyEngineCount: 4, DecoderCount: 4, EncoderCount: 4, JpegCount: 4, OfaCount: 1, MemorySizeMB: 97408, Name: "MIG 4g.96gb+gfx", Capabilities: 2}},
		{"odd", 0, 18, model.GpuInstanceProfileInfo{ID: 119, SliceCount: 2, InstanceCount: 2, MultiprocessorCount: 41, CopyEngineCount: 2, DecoderCount: 1, MemorySizeMB: 31000, Name: "MIG 2q.30gb~turbo"}},
	} {
		r := start(t, c.shape)
		got, ret := r.c.DeviceGetGpuInstanceProfileInfo(r.ctx, r.gpu(c.index), c.enum) // MIG mode is off, and it answers
		r.want(ret, model.Success)
		if got != c.want {
			t.Errorf("%s enum %d:\n got %+v\nwant %+v", c.shape, c.enum, got, c.want)
		}
	}
}

// TestProfileEnumEnds checks that enumeration ends with InvalidArgument where the branch's header says, and never before.
func TestProfileEnumEnds(t *testing.T) {
	for version, want := range map[string]struct {
		end uint32
		ids []uint32
	}{
		"470.256.02": {8, []uint32{0, 5, 9, 14, 19, 20}},
		"525.147.05": {10, []uint32{0, 5, 9, 14, 15, 19, 20}},
		"550.54.15":  {10, []uint32{0, 5, 9, 14, 15, 19, 20}},
		"580.65.06":  {17, []uint32{0, 5, 9, 14, 15, 19, 20}},
	} {
		r := start(t, "dgx-a100", driver(version))
		var ids []uint32
		for e := uint32(0); ; e++ {
			p, ret := r.c.DeviceGetGpuInstanceProfileInfo(r.ctx, r.gpu(0), e)
			if ret == model.InvalidArgument {
				if e != want.end {
					t.Errorf("%s: enumeration ends at %d, want %d", version, e, want.end)
				}
				break
			}
			if ret == model.Success {
				ids = append(ids, p.ID)
			} else {
				r.want(ret, model.NotSupported)
			}
		}
		slices.Sort(ids)
		if !slices.Equal(ids, want.ids) {
			t.Errorf("%s: profiles %v, want %v", version, ids, want.ids)
		}
	}
}

// TestOldDriverRefuses4gBeside3g: drivers before R510 do.
func TestOldDriverRefuses4gBeside3g(t *testing.T) {
	r := start(t, "dgx-a100", driver("470.256.02"))
	d := r.mig(0)
	r.gi(d, 5, 0)
	if _, ret := r.c.DeviceCreateGpuInstance(r.ctx, d, 9); ret != model.InsufficientResources {
		t.Errorf("470 allows 4g beside 3g: %v", ret)
	}
	r = start(t, "dgx-a100")
	d = r.mig(0)
	r.gi(d, 5, 0)
	r.gi(d, 9, -1)
}

// TestRenamedProfiles: a driver upgrade gives a GPU's profiles other names; ids and placements stay, and instances never outlive it.
func TestRenamedProfiles(t *testing.T) {
	r := start(t, "gb200x4")
	names := func() (out []string) {
		for _, enum := range []uint32{0, 7, 9, 1, 2, 3, 4} {
			p, ret := r.c.DeviceGetGpuInstanceProfileInfoV(r.ctx, r.gpu(0), enum, 2)
			out = append(out, ok(r, p, ret).Name)
		}
		return out
	}
	if got, want := names(), []string{"MIG 1g.23gb", "MIG 1g.23gb+me", "MIG 1g.47gb", "MIG 2g.47gb", "MIG 3g.93gb", "MIG 4g.93gb", "MIG 7g.186gb"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	before := r.placements(r.gpu(0), 19)
	r.full(r.mig(0), 19, 2)
	if err := r.n.LoadDriver("580.65.06"); err != nil {
		t.Fatal(err)
	}
	r.want(r.c.InitWithFlags(r.ctx, 0), model.Success)
	if got, want := names(), []string{"MIG 1g.24gb", "MIG 1g.24gb+me", "MIG 1g.47gb", "MIG 2g.47gb", "MIG 3g.95gb", "MIG 4g.95gb", "MIG 7g.189gb"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if after := r.placements(r.gpu(0), 19); !slices.Equal(before, after) || len(r.n.Status().GPUs[0].Instances) > 0 {
		t.Errorf("%v, before %v; %+v", after, before, r.n.Status().GPUs[0])
	}
	r.full(r.mig(0), 19, 2)
	if s := r.n.Status().GPUs[0]; s.Instances[0].Profile != "1g.24gb" || s.Instances[0].Compute[0].Profile != "1g.24gb" {
		t.Errorf("%+v", s.Instances)
	}
}

// TestMediaEngines: what takes all engines leaves room only for what takes none, and what takes one leaves the rest.
func TestMediaEngines(t *testing.T) {
	const plain, gfx, me, meAll, noMe, twoPlain, twoMeAll, twoNoMe = 14, 47, 21, 65, 67, 5, 64, 66 // RTX PRO 6000
	for _, c := range []struct {
		name, shape string
		have        uint32
		at          int
		fit, refuse []uint32 // beside it, anywhere
	}{
		{"+me.all", "rtx6000x4", meAll, 0, []uint32{noMe, twoNoMe}, []uint32{plain, gfx, me, meAll, twoPlain, twoMeAll}},
		{"2g+me.all", "rtx6000x4", twoMeAll, 0, []uint32{noMe, twoNoMe}, []uint32{plain, gfx, me, meAll, twoPlain, twoMeAll}},
		{"+me", "rtx6000x4", me, 0, []uint32{plain, gfx, noMe, twoPlain, twoNoMe}, []uint32{me, meAll, twoMeAll}},
		{"-me", "rtx6000x4", noMe, 0, []uint32{plain, gfx, me, meAll, noMe, twoPlain, twoMeAll, twoNoMe}, nil},
		{"+me of A100", "dgx-a100", 20, 0, []uint32{19, 15, 14, 9}, []uint32{20, 0}},
		{"+me of H100", "hgx-h100", 20, 6, []uint32{19, 15, 14, 9, 5}, []uint32{20, 0}},
		{"3g of A100", "dgx-a100", 9, 4, []uint32{19, 20, 15, 14, 9, 5}, []uint32{0}},
		{"+me of A30", "a30x4", 21, 0, []uint32{14, 5}, []uint32{21, 6, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, c.shape)
			d := r.mig(0)
			r.gi(d, c.have, c.at)
			for _, p := range append(slices.Clone(c.fit), c.refuse...) {
				gi, ret := r.c.DeviceCreateGpuInstance(r.ctx, d, p)
				if want := slices.Contains(c.fit, p); (ret == model.Success) != want || !want && ret != model.InsufficientResources {
					t.Errorf("profile %d beside it: %v", p, ret)
				}
				if ret == model.Success {
					r.want(r.c.GpuInstanceDestroy(r.ctx, gi), model.Success)
				}
			}
		})
	}
}
