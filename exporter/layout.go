package exporter

import (
	"context"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// adopt takes the newest snapshot. The values of what is gone go now, and what is new is read now.
func (s *sampler) adopt(ctx context.Context) {
	if s.plan == nil || s.snapshot == nil {
		return
	}
	now := time.Now()
	s.generation++
	changed := false
	seen := map[gpu.UUID]bool{}
	live := map[gpu.Entity]bool{}
	for i := range s.snapshot.GPUs {
		g := &s.snapshot.GPUs[i]
		seen[g.UUID] = true
		u := s.units[g.UUID]
		if u == nil {
			u = &unit{uuid: g.UUID}
			s.units[g.UUID] = u
		}
		l := layoutOf(g, s.snapshot.Driver.Version)
		fresh := !u.layout.equal(l)
		u.layout = l
		s.entity(g.UUID.Whole(), identity{}, fresh, l.divided, now, live)
		for i := range g.Instances {
			in := &g.Instances[i]
			if l.divided {
				s.entity(gpu.Entity{GPU: g.UUID, Instance: in.ID}, identityOf(in), fresh, true, now, live)
			}
		}
		if fresh {
			changed = true
			u.hurry(allLoops)
			if u.again = u.busy; !u.busy && s.start(ctx, u, now) {
				s.waiting[u] = struct{}{}
			}
		}
	}
	for id, u := range s.units {
		if !seen[id] {
			delete(s.units, id)
			delete(s.waiting, u)
			changed = true
		}
	}
	for id := range s.entities {
		if !live[id] {
			delete(s.entities, id)
		}
	}
	s.hold()
	if changed {
		s.merge()
		s.show(now)
		if len(s.waiting) > 0 {
			s.grace.Reset(s.plan.settings.Fast / 2)
		}
	}
}

func layoutOf(g *gpu.GPU, driver string) layout {
	l := layout{known: true, divided: g.MIG.Enabled, driver: driver}
	if !l.divided {
		return l
	}
	for i := range g.Instances {
		l.instances = append(l.instances, gpu.InstanceRef{ID: g.Instances[i].ID, MIG: identityOf(&g.Instances[i]).mig})
	}
	return l
}

func identityOf(in *gpu.Instance) identity {
	id := identity{slot: in.Slot}
	if len(in.Compute) > 0 {
		id.mig = in.Compute[0].UUID
	}
	return id
}

// entity keeps an entity that is the same as before; fresh ones get their cells anew.
func (s *sampler) entity(id gpu.Entity, is identity, fresh, divided bool, now time.Time, live map[gpu.Entity]bool) {
	live[id] = true
	e := s.entities[id]
	if e == nil || e.identity != is {
		e = &entity{id: id, identity: is, born: now}
		s.entities[id] = e
		fresh = true
	}
	if fresh {
		e.fit(s.plan, divided)
		s.rethink = true
	}
}
