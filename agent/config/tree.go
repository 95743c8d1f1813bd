package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// branch is a row of the table at its place in the form of the file.
type branch struct {
	row   Setting
	kids  []*branch // by name, in the order of the table
	each  *branch   // of a list
	other *branch   // of free keys
}

// tree arranges the rows that are in the file.
func tree() *branch {
	root := &branch{}
	for _, s := range fileSettings() {
		b := root
		for _, step := range steps(s.Key) {
			b = b.child(step)
		}
		b.row = s
	}
	return root
}

// steps splits a key of the table: gpus[].match becomes gpus, [], match.
func steps(key string) []string { return strings.Split(strings.ReplaceAll(key, "[]", ".[]"), ".") }

func (b *branch) name() string {
	all := steps(b.row.Key)
	return all[len(all)-1]
}

// child finds or makes the branch of a step.
func (b *branch) child(step string) *branch {
	add := func(to **branch) *branch {
		if *to == nil {
			*to = &branch{}
		}
		return *to
	}
	switch step {
	case "[]":
		return add(&b.each)
	case "*":
		return add(&b.other)
	}
	if kid := b.kid(step); kid != nil {
		return kid
	}
	kid := &branch{row: Setting{Key: step}}
	b.kids = append(b.kids, kid)
	return kid
}

func (b *branch) kid(name string) *branch {
	i := slices.IndexFunc(b.kids, func(k *branch) bool { return k.name() == name })
	if i < 0 {
		return nil
	}
	return b.kids[i]
}

func (b *branch) names() (out []string) {
	for _, k := range b.kids {
		out = append(out, k.name())
	}
	return out
}

// route is a path in a file: keys, and the numbers of entries in lists.
type route []any

// to is the route of a key or an entry below r.
func (r route) to(step any) route { return append(slices.Clip(r), step) }

func (r route) String() string {
	var b strings.Builder
	for _, step := range r {
		switch s := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", s)
		case string:
			switch {
			case !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`).MatchString(s):
				fmt.Fprintf(&b, "[%q]", s)
			case b.Len() == 0:
				b.WriteString(s)
			default:
				b.WriteString("." + s)
			}
		}
	}
	return b.String()
}
