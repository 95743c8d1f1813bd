package expose

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

func (p *page) xids(c *column) {
	for i := range p.set.XIDs {
		x := &p.set.XIDs[i]
		p.sum(c, p.aboutXID(x), float64(x.Count))
	}
}

func (p *page) xidTimes(c *column) {
	for i := range p.set.XIDs {
		if x := &p.set.XIDs[i]; !x.Last.IsZero() {
			p.put(c, p.aboutXID(x), float64(x.Last.UnixMilli())/1e3)
		}
	}
}

// aboutXID keeps a GPU that the inventory does not have by its UUID alone. The code 0 stands for all codes together.
func (p *page) aboutXID(x *sample.XID) about {
	code := "any"
	if x.Code != 0 {
		code = strconv.FormatUint(x.Code, 10)
	}
	return about{device: p.entity(x.GPU.Whole())}.with("UUID", string(x.GPU)).
		with("xid", code).with("class", x.Class)
}

// lack is a value that is not there.
type lack struct {
	name string
	code gpu.AbsenceCode
}

// unavailable counts the entities that lack what is exported.
func (p *page) unavailable(c *column) {
	counts := map[lack]int{}
	for _, a := range p.plan.missing {
		for i := range p.plan.entities {
			if r := p.read(a, i); r.applies && !r.repeated && r.absent != "" {
				counts[lack{a.name, r.absent}]++
			}
		}
	}
	p.parts(counts)
	p.made(counts)
	for _, l := range slices.SortedFunc(maps.Keys(counts), func(a, b lack) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.code, b.code))
	}) {
		p.put(c, about{}.with("field", l.name).with("reason", string(l.code)), float64(counts[l]))
	}
}

// made counts the GPUs that lack what other families are made of.
func (p *page) made(counts map[lack]int) {
	throttles := family.Throttles()
	p.gpus(func(_ *entity, at int) {
		for name, f := range map[string]gpu.Field{"gpu_energy_joules_total": family.TotalEnergy, "gpu_recovery_action": family.Recovery} {
			if r := p.stored(asked{field: f}, at); r.absent != "" {
				counts[lack{name, r.absent}]++
			}
		}
		var why gpu.AbsenceCode
		for _, t := range throttles {
			if _, ok := p.first(t.Fields, at); ok {
				return
			}
			why = cmp.Or(why, p.stored(asked{field: t.Fields[0]}, at).absent)
		}
		counts[lack{"gpu_throttle_seconds_total", why}]++
	})
}

// parts counts the entities of which a container's part, or the rest, is not known.
func (p *page) parts(counts map[lack]int) {
	type seen struct {
		lack
		entity gpu.Entity
	}
	once := map[seen]bool{}
	miss := func(name string, e gpu.Entity, why *gpu.Absence) {
		if why == nil || p.entity(e) == nil {
			return
		}
		if s := (seen{lack{name, code(why)}, e}); !once[s] {
			once[s] = true
			counts[s.lack]++
		}
	}
	for i := range p.set.Shares {
		s := &p.set.Shares[i]
		miss("gpu_pod_utilization_ratio", s.Entity, s.NoUtil)
		miss("gpu_pod_memory_used_bytes", s.Entity, s.NoMB)
	}
	for i := range p.set.Rests {
		r := &p.set.Rests[i]
		miss("gpu_unattributed_utilization_ratio", r.Entity, r.NoUtil)
		miss("gpu_unattributed_memory_used_bytes", r.Entity, r.NoMB)
	}
}
