package dcgm

import (
	"context"
	"slices"
)

func groupCreate(s *Session, _ context.Context, in *reader, out *writer) Status {
	kind, name := in.u32(), in.text()
	g := &group{name: name}
	if special, ok := map[uint32]uint32{0: allGPUs, 3: allInstances, 4: allCompute, 5: allEntities}[kind]; ok {
		g.entities, _ = s.members(special)
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if len(s.groups) >= maxGroups {
		return MaxLimit
	}
	s.next++
	s.groups[s.next] = g
	out.u32(s.next)
	return OK
}

func groupDestroy(s *Session, _ context.Context, in *reader, _ *writer) Status {
	id := in.u32()
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.groups[id] == nil {
		return NotConfigured
	}
	delete(s.groups, id)
	s.drop(func(k watchKey) bool { return k.session == s.id && k.group == id })
	return OK
}

func (s *Session) addEntity(id uint32, m pair) Status {
	if find(layout(s.e.cfg.Node), m.group, m.id) == nil {
		return BadParam
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	g := s.groups[id]
	switch {
	case g == nil:
		return NotConfigured
	case slices.Contains(g.entities, m):
		return BadParam
	case len(g.entities) >= maxEntities:
		return MaxLimit
	}
	g.entities = append(g.entities, m)
	return OK
}

func groupInfo(s *Session, _ context.Context, in *reader, out *writer) Status {
	id := in.u32()
	members, ok := s.members(id)
	if !ok {
		return NotConfigured
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	name := "all"
	if g := s.groups[id]; g != nil {
		name = g.name
	}
	out.text(name)
	out.u32(uint32(len(members)))
	for _, m := range members {
		out.u32(uint32(m.group), m.id)
	}
	return OK
}

func fieldGroupCreate(s *Session, _ context.Context, in *reader, out *writer) Status {
	name, fields := in.text(), in.fields()
	switch {
	case len(fields) == 0 || len(fields) > maxFields:
		return BadParam
	case slices.ContainsFunc(fields, func(id uint16) bool { return !s.e.has(id) }):
		return UnknownField
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	for _, f := range s.fields {
		if f.name == name {
			return DuplicateKey
		}
	}
	if len(s.fields) >= maxGroups {
		return MaxLimit
	}
	s.next++
	s.fields[s.next] = &fieldGroup{name: name, fields: fields}
	out.u32(s.next)
	return OK
}

func fieldGroupDestroy(s *Session, _ context.Context, in *reader, _ *writer) Status {
	id := in.u32()
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.fields[id] == nil {
		return NoData
	}
	delete(s.fields, id)
	s.drop(func(k watchKey) bool { return k.session == s.id && k.fields == id })
	return OK
}
