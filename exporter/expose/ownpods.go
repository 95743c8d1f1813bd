package expose

import (
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// entity finds a device on the page; nil when the inventory does not have it.
func (p *page) entity(id gpu.Entity) *entity {
	if i, ok := p.plan.at[id]; ok {
		return &p.plan.entities[i]
	}
	return nil
}

func (p *page) podInfo(c *column) {
	for i := range p.set.Holds {
		h := &p.set.Holds[i]
		e := p.entity(h.Entity)
		if e == nil { // the instance is not there yet: the GPU is, and the slot has its profile
			e = p.entity(h.Device.GPU.Whole())
		}
		a := about{device: e, container: &h.Container}.with("resource", h.Resource).with("sharing", string(h.Sharing))
		if e == nil {
			a = a.with("UUID", string(h.Device.GPU))
		} else if h.Device.Kind == gpu.Slice && e.instance == "" {
			a = a.with("GPU_I_PROFILE", h.Device.Slot.Profile.Instance().String())
		}
		p.put(c, a, 1)
	}
}

func (p *page) podUtilization(c *column) {
	for i := range p.set.Shares {
		if s := &p.set.Shares[i]; s.NoUtil == nil {
			p.of(c, s.Entity, &s.Container, s.Utilization)
		}
	}
}

func (p *page) podMemory(c *column) {
	for i := range p.set.Shares {
		if s := &p.set.Shares[i]; s.NoMB == nil {
			p.of(c, s.Entity, &s.Container, s.MemoryBytes)
		}
	}
}

func (p *page) restUtilization(c *column) {
	for i := range p.set.Rests {
		if r := &p.set.Rests[i]; r.NoUtil == nil {
			p.of(c, r.Entity, nil, r.Utilization)
		}
	}
}

func (p *page) restMemory(c *column) {
	for i := range p.set.Rests {
		if r := &p.set.Rests[i]; r.NoMB == nil {
			p.of(c, r.Entity, nil, r.MemoryBytes)
		}
	}
}

func (p *page) of(c *column, id gpu.Entity, container *sample.Container, value float64) {
	if e := p.entity(id); e != nil {
		p.sum(c, about{device: e, container: container}, value)
	}
}

func (p *page) allocated(c *column) {
	p.accounts(c, func(a *sample.Account) float64 { return a.Allocated })
}

func (p *page) idle(c *column) {
	p.accounts(c, func(a *sample.Account) float64 { return a.Idle })
}

func (p *page) cost(c *column) {
	p.accounts(c, func(a *sample.Account) float64 { return a.Dollars })
}

// accounts writes what was counted; a negative number is not known.
func (p *page) accounts(c *column, of func(*sample.Account) float64) {
	for i := range p.set.Ledger {
		a := &p.set.Ledger[i]
		if v := of(a); v >= 0 {
			p.sum(c, about{container: &a.Container}.with("resource", a.Resource), v)
		}
	}
}
