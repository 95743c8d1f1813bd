package expose

import (
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

// gpus calls f for each GPU with its place among the entities.
func (p *page) gpus(f func(e *entity, at int)) {
	for i := range p.plan.entities {
		if e := &p.plan.entities[i]; e.whole == i {
			f(e, i)
		}
	}
}

func (p *page) up(c *column) {
	p.gpus(func(e *entity, _ int) {
		_, down := p.set.Down[e.id.GPU]
		p.put(c, about{device: e}, flag(!down))
	})
}

func (p *page) info(c *column) {
	p.gpus(func(e *entity, _ int) {
		if g := p.set.Snapshot.GPU(e.id.GPU); g != nil {
			p.put(c, about{device: e}.with("Hostname", p.plan.options.Node).with("driver_version", p.plan.driver).
				with("mig_mode", migMode(g.MIG)), 1)
		}
	})
}

func migMode(m gpu.MIGState) string {
	switch {
	case !m.Capable:
		return "unsupported"
	case m.Enabled != m.Pending:
		return "pending"
	case m.Enabled:
		return "enabled"
	default:
		return "disabled"
	}
}

// health gives each GPU and instance the state that it is in: an instance is no healthier than its GPU.
func (p *page) health(c *column) {
	for i := range p.plan.entities {
		e := &p.plan.entities[i]
		g := p.set.Snapshot.GPU(e.id.GPU)
		if g == nil {
			continue
		}
		h := g.Health
		if e.whole != i {
			for _, in := range g.Instances {
				if in.ID != e.id.Instance {
					continue
				}
				h = gpu.Worse(h, in.Health)
				for _, ci := range in.Compute {
					h = gpu.Worse(h, ci.Health)
				}
			}
		}
		p.put(c, about{device: e}.with("state", h.State.String()).with("reason", short(h)), 1)
	}
}

func (p *page) recovery(c *column) {
	actions := family.RecoveryActions()
	p.gpus(func(e *entity, at int) {
		r := p.stored(asked{field: family.Recovery}, at)
		if r.absent != "" {
			return
		}
		for i, action := range actions {
			p.put(c, about{device: e}.with("action", action), flag(float64(i) == r.value))
		}
	})
}

func (p *page) utilizationWindows(c *column) {
	p.windows(c, func(w sample.Windows) [2]float64 { return w.Utilization })
}

func (p *page) powerWindows(c *column) {
	p.windows(c, func(w sample.Windows) [2]float64 { return w.Power })
}

func (p *page) memoryWindows(c *column) {
	p.windows(c, func(w sample.Windows) [2]float64 { return w.Memory })
}

func (p *page) windows(c *column, of func(sample.Windows) [2]float64) {
	for i := range p.plan.entities {
		e := &p.plan.entities[i]
		w, ok := p.set.Windows[e.id]
		if !ok {
			continue
		}
		for j, window := range [...]string{"15s", "60s"} {
			if v := of(w)[j]; v >= 0 {
				p.put(c, about{device: e}.with("window", window), v)
			}
		}
	}
}

func (p *page) throttle(c *column) {
	throttles := family.Throttles()
	p.gpus(func(e *entity, at int) {
		for _, t := range throttles {
			if _, more := p.first(t.Unless, at); more {
				continue
			}
			if ns, ok := p.first(t.Fields, at); ok {
				p.put(c, about{device: e}.with("reason", t.Reason), ns/1e9)
			}
		}
	})
}

// first is the value of the first of the fields that has one.
func (p *page) first(fields []gpu.Field, at int) (float64, bool) {
	for _, f := range fields {
		if r := p.stored(asked{field: f}, at); r.absent == "" {
			return r.value, true
		}
	}
	return 0, false
}

func (p *page) energy(c *column) {
	p.gpus(func(e *entity, at int) {
		if mj := p.stored(asked{field: family.TotalEnergy}, at); mj.absent == "" {
			p.put(c, about{device: e}, mj.value/1e3)
		}
	})
}
