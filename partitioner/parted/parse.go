package parted

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/gpulet/gpulet/gpu/mig"
)

// Parse reads a file of mig-parted, `version: v1`. The name is for errors, which are a ProblemsError: all that is wrong with the
// file, each with its line and what would be right. What is asked of GPUs that no node may have is no error here.
func Parse(name string, data []byte) (*File, error) {
	r := &reader{file: name, anchors: map[string]ast.Node{}, open: map[string]bool{}}
	f := &File{}
	if n := r.root(data); n != nil {
		r.spec(f, r.resolve(n, ""))
	}
	if err := r.problems.err(); err != nil {
		return nil, err
	}
	return f, nil
}

func (r *reader) spec(f *File, n ast.Node) {
	if n == nil {
		return
	}
	top, ok := r.known(n, "", "version", "mig-configs")
	if !ok {
		return
	}
	if v, ok := top["version"]; !ok {
		r.fail(n.GetToken(), "version", "it is missing; valid is %s", version)
	} else if s, _ := r.text(v.value, "version"); s != version {
		r.fail(v.at, "version", "%q is not understood; valid is %s", s, version)
		return // the rest is of another form
	}
	configs, ok := top["mig-configs"]
	if !ok {
		r.fail(n.GetToken(), "mig-configs", "it is missing: want at least one configuration")
		return
	}
	value := r.resolve(configs.value, "mig-configs")
	if value == nil {
		return
	}
	pairs, ok := r.pairs(value, "mig-configs")
	if ok && len(pairs) == 0 {
		r.fail(configs.at, "mig-configs", "it is empty: want at least one configuration")
	}
	for _, p := range pairs {
		f.configs = append(f.configs, r.config(p))
	}
}

func (r *reader) config(p pair) config {
	c := config{name: p.key}
	field := fmt.Sprintf("mig-configs[%q]", p.key)
	n := r.resolve(p.value, field)
	if n == nil {
		return c
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		r.fail(p.at, field, "want a list of entries, got %s", kindOf(n))
		return c
	}
	if len(list.Values) == 0 {
		r.fail(p.at, field, "it is empty: want at least one entry")
	}
	for i, v := range list.Values {
		at := fmt.Sprintf("%s[%d]", field, i)
		if n := r.resolve(v, at); n != nil {
			c.entries = append(c.entries, r.entry(n, at))
		}
	}
	return c
}

func (r *reader) entry(n ast.Node, field string) entry {
	e := entry{file: r.file, line: lineOf(n), field: field}
	keys, ok := r.known(n, field, "devices", "device-filter", "mig-enabled", "mig-devices")
	if !ok {
		return e
	}
	need := func(name, want string) (ast.Node, string, *token.Token) {
		p, there := keys[name]
		if !there {
			r.problems = append(r.problems, Problem{r.file, e.line, join(field, name), "it is missing; " + want})
			return nil, "", nil
		}
		return r.resolve(p.value, join(field, name)), join(field, name), p.at
	}
	if n, at, key := need("devices", `valid are "all" and a list of indexes such as [0, 1]`); n != nil {
		e.all, e.indexes = r.devices(n, at, key)
	}
	enabled, sure := false, false
	if n, at, key := need("mig-enabled", "valid are true and false"); n != nil {
		if enabled, sure = boolOf(n); !sure {
			r.fail(key, at, "valid are true and false, got %s", kindOf(n))
		}
	}
	e.enabled = enabled
	if p, there := keys["device-filter"]; there {
		if n := r.resolve(p.value, join(field, "device-filter")); n != nil {
			e.filters = r.filters(n, join(field, "device-filter"), p.at)
		}
	}
	devices, there := keys["mig-devices"]
	at := join(field, "mig-devices")
	value := ast.Node(nil)
	if there {
		if value = r.resolve(devices.value, at); value == nil {
			return e
		}
		there = value.Type() != ast.NullType
	}
	if !there {
		if enabled {
			r.problems = append(r.problems, Problem{r.file, e.line, at, "it is missing where mig-enabled is true; want profiles with counts, or {} for no instances"})
		}
		return e
	}
	e.counts = r.counts(value, at)
	if pairs, isMap := value.(ast.MapNode); sure && !enabled && isMap && pairs.MapRange().Next() {
		r.fail(devices.at, at, "it names instances where mig-enabled is false; valid are {} or nothing here, or mig-enabled: true")
	}
	return e
}

func lineOf(n ast.Node) int {
	t := n.GetToken()
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		t = m.Values[0].Key.GetToken()
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		t = m.Key.GetToken()
	}
	if t == nil || t.Position == nil {
		return 0
	}
	return t.Position.Line
}

// text reads a plain value as mig-parted would: quotes do not matter.
func (r *reader) text(n ast.Node, field string) (string, bool) {
	switch t := r.resolve(n, field).(type) {
	case *ast.StringNode:
		return t.Value, true
	case nil:
		return "", false
	default:
		return t.GetToken().Value, false
	}
}

// boolOf reads a truth value, in the words of YAML 1.1 too: mig-parted's library knows them.
func boolOf(n ast.Node) (value, ok bool) {
	switch t := n.(type) {
	case *ast.BoolNode:
		return t.Value, true
	case *ast.StringNode:
		if t.GetToken().Type != token.StringType {
			return false, false // quoted
		}
		switch strings.ToLower(t.Value) {
		case "yes", "on", "y":
			return true, true
		case "no", "off", "n":
			return false, true
		}
	}
	return false, false
}

func intOf(n ast.Node) (int, bool) {
	t, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseInt(fmt.Sprint(t.Value), 10, 32)
	return int(v), err == nil
}

func (r *reader) devices(n ast.Node, field string, key *token.Token) (all bool, indexes []int) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		if s, isText := n.(*ast.StringNode); !isText || s.Value != "all" {
			r.fail(key, field, `valid are "all" and a list of indexes such as [0, 1], got %s`, kindOf(n))
		}
		return true, nil
	}
	for i, v := range list.Values {
		at := fmt.Sprintf("%s[%d]", field, i)
		if v = r.resolve(v, at); v == nil {
			continue
		}
		index, ok := intOf(v)
		if !ok || index < 0 {
			r.fail(v.GetToken(), at, "valid are indexes of GPUs from 0 on, got %s", kindOf(v))
			continue
		}
		indexes = append(indexes, index)
	}
	return false, indexes
}

func (r *reader) filters(n ast.Node, field string, key *token.Token) (out []filter) {
	const form = "valid is 0x<device><vendor> such as 0x20B010DE, with :0x<subdevice><subvendor> behind it if need be"
	one := func(v ast.Node, at string) {
		if v = r.resolve(v, at); v == nil {
			return
		}
		s, ok := v.(*ast.StringNode)
		if !ok {
			// An unquoted 0x20B010DE is a number to YAML; mig-parted refuses it too.
			r.fail(v.GetToken(), at, "want a text in quotes, got %s; %s", kindOf(v), form)
			return
		}
		f, ok := parseFilter(s.Value)
		if !ok {
			r.fail(v.GetToken(), at, "%q is no PCI device; %s", s.Value, form)
			return
		}
		out = append(out, f)
	}
	switch t := n.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		if t.Value != "" {
			one(n, field)
		}
	case *ast.SequenceNode:
		for i, v := range t.Values {
			one(v, fmt.Sprintf("%s[%d]", field, i))
		}
	default:
		r.fail(key, field, "want a text in quotes or a list of them, got %s; %s", kindOf(n), form)
	}
	return out
}

func parseFilter(s string) (f filter, ok bool) {
	f.text = s
	device, subsystem, more := strings.Cut(s, ":")
	if f.device, ok = packed(device); ok && more {
		f.subsystem, ok = packed(subsystem)
	}
	return f, ok
}

// packed reads 0x and eight digits: a device and its vendor as the driver packs them.
func packed(s string) (uint32, bool) {
	digits, ok := strings.CutPrefix(strings.ToLower(s), "0x")
	if !ok || len(digits) > 8 {
		return 0, false
	}
	v, err := strconv.ParseUint(digits, 16, 32)
	return uint32(v), err == nil && v != 0
}

func (r *reader) counts(n ast.Node, field string) (out []count) {
	pairs, _ := r.pairs(n, field)
	bad := false
	for _, p := range pairs {
		at := fmt.Sprintf("%s[%q]", field, p.key)
		profile, err := parseProfile(p.key)
		if err != nil {
			r.fail(p.at, at, "%v", err)
			bad = true
		}
		v := r.resolve(p.value, at)
		if v == nil {
			bad = true
			continue
		}
		num, ok := intOf(v)
		if !ok || num < 0 {
			r.fail(p.at, at, "valid are counts from 0 on, got %s", kindOf(v))
			bad = true
			continue
		}
		if num > 0 && err == nil {
			out = append(out, count{profile, num, lineOf(v)})
		}
	}
	if len(pairs) > 0 && len(out) == 0 && !bad {
		r.fail(pairs[0].at, field, "all counts are 0; want one of 1 at least, or {} for no instances")
	}
	return out
}

// parseProfile reads a profile's name; mig-parted also takes 3c.3g.20gb for 3g.20gb.
func parseProfile(name string) (mig.Profile, error) {
	if slices, rest, ok := strings.Cut(name, "c."); ok && strings.HasPrefix(rest, slices+"g.") {
		name = rest
	}
	return mig.ParseProfile(name)
}
