package dcgm

import (
	"context"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// watch is what one session wants of a series.
type watch struct {
	period time.Duration
	age    time.Duration // 0: no limit
	count  int           // 0: no limit
}

// series is a field of an entity that somebody watches. Engine.mu guards it.
type series struct {
	field   Field
	entity  *entity
	watches map[watchKey]watch
	samples []Value // oldest first
	next    time.Time
	from    model.Sums // of the last sample
	started bool
	xids    int // how many of the engine's were looked at
}

// watchKey is who watches.
type watchKey struct{ session, group, fields uint32 }

func (s *series) period() time.Duration {
	p := time.Duration(0)
	for _, w := range s.watches {
		if p == 0 || w.period < p {
			p = w.period
		}
	}
	return max(p, time.Millisecond)
}

// add keeps a value and lets go of those that nobody wants kept; the latest stays whatever its age.
func (s *series) add(v Value, now time.Time) {
	s.samples = append(s.samples, v)
	age, count := time.Duration(0), 1
	for _, w := range s.watches {
		if w.age == 0 || age < 0 {
			age = -1
		} else {
			age = max(age, w.age)
		}
		if w.count == 0 || count == 0 {
			count = 0
		} else {
			count = max(count, w.count)
		}
	}
	first := 0
	for first < len(s.samples)-1 && (count > 0 && len(s.samples)-first > count || age > 0 && now.Sub(time.UnixMicro(s.samples[first].TS)) > age || len(s.samples)-first > 4096) {
		first++
	}
	s.samples = s.samples[first:]
}

// sample reads a series once. Reading happens without the lock: a driver that hangs holds the cycle up and nothing else.
func (e *Engine) sample(ctx context.Context, s *series) {
	if e.cfg.Faults.stale(s.field.ID, s.entity.gpu) && len(s.samples) > 0 {
		e.mu.Lock()
		s.next = e.cfg.Node.Now().Add(s.period())
		e.mu.Unlock()
		return
	}
	v, sums, ok := e.read(ctx, s.field, s.entity, s.from, s.started)
	if ctx.Err() != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.cfg.Node.Now()
	s.next = now.Add(s.period())
	s.from, s.started = sums, true
	switch {
	case s.field.ID == 230:
		e.addXIDs(s, now)
	case ok:
		v.TS = now.UnixMicro()
		s.add(v, now)
	}
}

// addXIDs makes a sample of each XID of the entity that is new to the series.
func (e *Engine) addXIDs(s *series, now time.Time) {
	fresh := e.xids[max(0, len(e.xids)-(e.xidCount-s.xids)):]
	s.xids = e.xidCount
	for _, x := range fresh {
		if g, err := e.cfg.Node.GPUIndex(x.GPU); err != nil || g != s.entity.gpu {
			continue
		}
		if s.entity.gi != model.NoInstance && x.GI != s.entity.gi || s.entity.ci != model.NoInstance && x.CI != s.entity.ci {
			continue
		}
		s.add(Value{Type: Int, Int: int64(x.Code), TS: x.At.UnixMicro()}, now)
	}
}

// read gives a value of this moment; ok is false while there is none, as of a mean before its time has passed.
func (e *Engine) read(ctx context.Context, f Field, x *entity, from model.Sums, started bool) (v Value, sums model.Sums, ok bool) {
	p := probe{engine: e, context: ctx, entity: x}
	r := model.Success
	if x.group != None {
		if p.dev, r = e.client.DeviceGetHandleByIndex(ctx, uint32(x.gpu)); r == model.GPUIsLost {
			return lost(f), sums, true
		}
	}
	switch {
	case r != model.Success:
	case f.mean != nil:
		if sums, r = p.sums(); r == model.Success {
			if links := isLink(f.ID); links {
				if n, code := p.fi(91, 0); code != model.Success || n == 0 {
					return blank(f.Type, BlankNotSupported), sums, true
				}
			}
			if f.Level == Link {
				if up, code := e.client.DeviceGetNvLinkState(ctx, p.dev, x.link); code != model.Success {
					return blank(f.Type, blankOf(code)), sums, true
				} else if !up {
					return Value{Type: f.Type}, sums, true
				}
			}
			if !started || sums.Seconds <= from.Seconds {
				if started {
					sums = from
				}
				return v, sums, false
			}
			return f.mean(from, sums), sums, true
		}
	case f.read != nil:
		v, r = f.read(p)
	default:
		return v, sums, false
	}
	switch r {
	case model.Success:
		return v, sums, true
	case model.GPUIsLost:
		return lost(f), sums, true
	case model.Uninitialized:
		e.mu.Lock()
		e.nvml = r // the driver went away under the engine
		e.mu.Unlock()
	default:
	}
	return blank(f.Type, blankOf(r)), sums, true
}

func isLink(id uint16) bool {
	return id >= firstLink && id <= firstLink+5 || id == 449 || id == 843 || id == 897 || id == 1011 || id == 1012
}

func lost(f Field) Value {
	v := blank(f.Type, BlankUnknown)
	v.Status = GPUIsLost
	return v
}

func (p probe) c() *model.Client     { return p.engine.client }
func (p probe) ctx() context.Context { return p.context }
