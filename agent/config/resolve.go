package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Sources are where settings come from. Flags win over the environment, that over the file, that over defaults.
type Sources struct {
	// Flags are those that were given, by name.
	Flags map[string]string
	// Env looks a variable up; nil: there are none. An empty value counts as none.
	Env func(string) (string, bool)
}

// Line is one setting with its value and where it came from.
type Line struct {
	Setting Setting `json:"-"`
	// Path is the key in the file, or the flag with its dashes.
	Path   string `json:"path"`
	Value  string `json:"value"`
	Origin Origin `json:"origin"`
	values values
	route  route // nil outside the file
}

// Resolved is a configuration with the origin of everything in it.
type Resolved struct {
	Config Config
	// Lines are in the order of the table.
	Lines []Line
	// Data is the file as it was read.
	Data []byte
}

// lines collects Lines and the places of groups.
type lines struct {
	list  []Line
	index map[string]int // in list, by path
	marks map[string]Origin
}

func (l *lines) mark(path route, o Origin) { l.marks[path.String()] = o }

// put adds a line or replaces that of the same path.
func (l *lines) put(n Line) {
	l.marks[n.Path] = n.Origin
	if i, ok := l.index[n.Path]; ok {
		l.list[i] = n
		return
	}
	l.index[n.Path] = len(l.list)
	l.list = append(l.list, n)
}

// Process resolves the settings that are not in the file, for programs that only need to find the agent or its files.
func (s Sources) Process() (Process, error) {
	r, err := s.resolve("", nil)
	return r.Config.Process, err
}

// Load reads the configuration file that the sources name and resolves everything. An error about what users wrote is ProblemsError.
func (s Sources) Load() (Resolved, error) {
	p, err := s.Process()
	if err != nil || p.File == "" {
		if err != nil {
			return Resolved{}, err
		}
		return s.resolve("", nil)
	}
	data, err := ReadFile(p.File)
	if err != nil {
		return Resolved{}, ProblemsError{{Origin{From: FromFile, Name: p.File}, "", errors.Unwrap(err).Error()}}
	}
	return s.Resolve(p.File, data)
}

// ReadFile reads a configuration file up to its greatest length and a byte.
func ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return data, nil
}

// Resolve resolves the settings with this content of the file of that name. The error is ProblemsError, all that were found.
func (s Sources) Resolve(file string, data []byte) (Resolved, error) {
	if data == nil {
		data = []byte{}
	}
	return s.resolve(file, data)
}

func (s Sources) resolve(file string, data []byte) (Resolved, error) {
	r := Resolved{Data: data}
	l := &lines{marks: map[string]Origin{}, index: map[string]int{}}
	w := &walker{file: file, config: &r.Config, lines: l}
	rows := slices.DeleteFunc(Settings(), func(s Setting) bool { return s.Flag == "" })
	for _, row := range rows {
		s.put(w, row, row.Default, Origin{From: FromDefault})
	}
	if data != nil {
		w.anchors, w.open = anchors{}, map[string]bool{}
		w.walkFile(data)
	}
	for _, row := range rows {
		if s.Env != nil {
			if v, ok := s.Env(row.Env()); ok && v != "" {
				s.put(w, row, v, Origin{From: FromEnv, Name: row.Env()})
			}
		}
		if v, ok := s.Flags[row.Flag]; ok {
			s.put(w, row, v, Origin{From: FromFlag, Name: row.Flag})
		}
	}
	if len(w.problems) == 0 {
		w.problems = r.Config.whole(func(path string) Origin { return l.marks[path] })
	}
	if err := w.problems.err(); err != nil {
		return Resolved{}, err
	}
	r.Lines = ordered(l.list)
	return r, nil
}

// put sets a row from outside the file.
func (s Sources) put(w *walker, row Setting, text string, from Origin) {
	path, at := "--"+row.Flag, route(nil)
	if row.Key != "" {
		for _, step := range steps(row.Key) {
			at = at.to(step)
		}
		path = at.String()
	}
	v := row.split(text)
	for _, one := range v {
		if err := row.check(one); err != nil {
			w.problem(from, "", err.Error())
			return
		}
	}
	row.set(w.config, spot{}, v)
	w.lines.put(Line{Path: path, route: at, Value: strings.Join(v, ","), Origin: from, values: v, Setting: row})
}

// ordered sorts lines as the table is, entries of lists and free keys in the order of the file.
func ordered(in []Line) []Line {
	rank := map[string]int{}
	for i, s := range Settings() {
		rank[s.Key+" "+s.Flag] = i
	}
	of := func(l Line) int {
		if list, _, ok := strings.Cut(l.Setting.Key, "[]"); ok {
			return rank[list+" "]
		}
		return rank[l.Setting.Key+" "+l.Setting.Flag]
	}
	slices.SortStableFunc(in, func(a, b Line) int { return of(a) - of(b) })
	return in
}
