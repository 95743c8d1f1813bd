package dcgm

import (
	"context"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Limits of DCGM.
const (
	maxGroups    = 64
	maxFields    = 128
	maxEntities  = 1024
	allGPUs      = 0x7fffffff
	allInstances = 0x7ffffffd
	allCompute   = 0x7ffffffc
	allEntities  = 0x7ffffffb
)

// Session is one connection to an engine: its groups and watches go with it.
type Session struct {
	e  *Engine
	id uint32

	// Guarded by Engine.mu.
	next    uint32
	groups  map[uint32]*group
	fields  map[uint32]*fieldGroup
	health  map[uint32]uint32
	policy  map[uint32]uint32 // conditions by group
	pending []model.XID
	told    chan struct{} // capacity 1
}

type group struct {
	name     string
	entities []pair
}

type fieldGroup struct {
	name   string
	fields []uint16
}

// Session opens one.
func (e *Engine) Session() *Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastID++
	s := &Session{
		e: e, id: e.lastID, next: 1, groups: map[uint32]*group{}, fields: map[uint32]*fieldGroup{}, health: map[uint32]uint32{},
		policy: map[uint32]uint32{}, told: make(chan struct{}, 1),
	}
	e.sessions[s.id] = s
	return s
}

// Find gives a session that is open.
func (e *Engine) Find(id uint32) *Session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[id]
}

// ID is the session's number in its engine.
func (s *Session) ID() uint32 { return s.id }

// Close is the end of the connection.
func (s *Session) Close() {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	s.drop(func(k watchKey) bool { return k.session == s.id })
	delete(s.e.sessions, s.id)
}

// drop ends watches. The caller holds mu.
func (s *Session) drop(which func(k watchKey) bool) {
	for key, x := range s.e.series {
		for k := range x.watches {
			if which(k) {
				delete(x.watches, k)
			}
		}
		if len(x.watches) == 0 {
			delete(s.e.series, key)
		}
	}
}

// Call answers one call of the library.
func (s *Session) Call(ctx context.Context, name string, in []byte) (Status, []byte, Directive) {
	d, code, ok := s.e.cfg.Faults.Suffer(ctx, name)
	if !ok {
		return code, nil, d
	}
	h, ok := s.e.calls[name]
	if !ok {
		return NotSupported, nil, d
	}
	r, w := &reader{b: in}, &writer{}
	status := h(s, ctx, r, w)
	if r.short {
		return BadParam, nil, d
	}
	if status != OK {
		w.b = nil
	}
	return status, w.b, d
}

// members are the entities of a group. The caller holds no lock.
func (s *Session) members(id uint32) ([]pair, bool) {
	var want func(g Group) bool
	switch id {
	case allGPUs:
		want = func(g Group) bool { return g == GPU }
	case allInstances:
		want = func(g Group) bool { return g == Instance }
	case allCompute:
		want = func(g Group) bool { return g == Compute }
	case allEntities:
		want = func(Group) bool { return true }
	default:
		s.e.mu.Lock()
		defer s.e.mu.Unlock()
		g := s.groups[id]
		if g == nil {
			return nil, false
		}
		return append([]pair(nil), g.entities...), true
	}
	var out []pair
	for _, x := range layout(s.e.cfg.Node) {
		if want(x.group) {
			out = append(out, pair{x.group, x.id})
		}
	}
	return out, true
}

// watch makes values of fields appear.
func (s *Session) watch(groupID, fieldsID uint32, w watch) Status {
	members, ok := s.members(groupID)
	if !ok {
		return NotConfigured
	}
	all := layout(s.e.cfg.Node)
	s.e.mu.Lock()
	fg := s.fields[fieldsID]
	if fg == nil {
		s.e.mu.Unlock()
		return NoData
	}
	now := s.e.cfg.Node.Now()
	for _, m := range members {
		for _, id := range fg.fields {
			f, _ := s.e.table.meta(id)
			x := find(all, m.group, m.id).owner(f)
			if x == nil {
				continue
			}
			key := x.key(id)
			if s.e.series[key] == nil {
				s.e.series[key] = &series{field: f, entity: x, watches: map[watchKey]watch{}, next: now, xids: s.e.xidCount}
			}
			s.e.series[key].watches[watchKey{s.id, groupID, fieldsID}] = w
		}
	}
	s.e.mu.Unlock()
	s.e.poke()
	return OK
}

// latest is the last value of an entity's field.
func (s *Session) latest(ctx context.Context, all []*entity, m pair, id uint16, live bool) Value {
	f, ok := s.e.table.meta(id)
	if !ok || !s.e.has(id) {
		v := blank(Int, BlankUnknown)
		v.Status = UnknownField
		return v
	}
	missing := func(code Status) Value {
		v := blank(f.Type, BlankUnknown)
		v.Status = code
		return v
	}
	x := find(all, m.group, m.id).owner(f)
	if x == nil && m.group != None {
		return missing(BadParam)
	}
	if x == nil {
		x = (&entity{}).owner(f)
	}
	if live && f.mean == nil && id != 230 {
		v, _, _ := s.e.read(ctx, f, x, model.Sums{}, false)
		v.TS = s.e.cfg.Node.Now().UnixMicro()
		return s.e.cfg.Faults.spoil(v, id, x.gpu)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	series := s.e.series[x.key(id)]
	switch {
	case series == nil:
		return missing(NotWatched)
	case len(series.samples) == 0:
		return missing(NoData)
	}
	return s.e.cfg.Faults.spoil(series.samples[len(series.samples)-1], id, x.gpu)
}

// since gives the samples of a series after a time.
func (s *Session) since(x *entity, id uint16, after int64) []Value {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	series := s.e.series[x.key(id)]
	if series == nil {
		return nil
	}
	var out []Value
	for _, v := range series.samples {
		if v.TS >= after {
			out = append(out, s.e.cfg.Faults.spoil(v, id, x.gpu))
		}
	}
	return out
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }
