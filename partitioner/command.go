package partitioner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/gpu/statefile"
	"github.com/gpulet/gpulet/partitioner/parted"
	"github.com/gpulet/gpulet/partitioner/plan"
)

const (
	commandFile    = "partition.json"
	commandVersion = 1
)

// command is the layout that somebody commanded for one GPU.
type command struct {
	MIG bool `json:"mig"`
	// Counts are instances by profile name.
	Counts map[string]int `json:"counts,omitempty"`
}

// commandState is the form of the file.
type commandState struct {
	Version int                  `json:"version"`
	GPUs    map[gpu.UUID]command `json:"gpus"`
}

func (c command) target() parted.Target {
	t := parted.Target{MIG: c.MIG}
	for _, name := range slices.Sorted(maps.Keys(c.Counts)) {
		if p, err := mig.ParseProfile(name); err == nil {
			t.Counts = append(t.Counts, plan.Count{Profile: p, Count: c.Counts[name]})
		}
	}
	return t
}

func commandOf(t parted.Target) command {
	c := command{MIG: t.MIG}
	for _, n := range t.Counts {
		if c.Counts == nil {
			c.Counts = map[string]int{}
		}
		c.Counts[n.Profile.String()] += n.Count
	}
	return c
}

// commands are what people commanded, kept over restarts.
type commands struct {
	dir    string
	mu     sync.Mutex // guards the file, and loaded
	loaded bool
	feed   *gpu.Feed[map[gpu.UUID]command]
}

func newCommands(dir string) *commands {
	return &commands{dir: dir, feed: gpu.NewFeed[map[gpu.UUID]command](nil)}
}

// load reads the file once; a missing one is empty.
func (c *commands) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loadLocked()
}

func (c *commands) loadLocked() error {
	if c.loaded || c.dir == "" {
		return nil
	}
	c.loaded = true
	root, err := os.OpenRoot(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the state folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	data, err := root.ReadFile(commandFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", commandFile, err)
	}
	all, err := parseCommands(data)
	if err == nil {
		c.feed.Set(all)
	}
	return err
}

// parseCommands reads the file.
func parseCommands(data []byte) (map[gpu.UUID]command, error) {
	var s commandState
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read %s: %w", commandFile, err)
	}
	if s.Version != commandVersion {
		return nil, fmt.Errorf("read %s: version %d is not %d", commandFile, s.Version, commandVersion)
	}
	for uuid, c := range s.GPUs {
		for name, n := range c.Counts {
			if p, err := mig.ParseProfile(name); err != nil || p.IsSlice() || n < 0 || !c.MIG {
				return nil, fmt.Errorf("read %s: %d x %q of %s makes no sense", commandFile, n, name, uuid)
			}
		}
	}
	return s.GPUs, nil
}

// edit changes what is commanded, once it is written.
func (c *commands) edit(f func(map[gpu.UUID]command)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.loadLocked(); err != nil {
		return err
	}
	now, _ := c.feed.Get()
	next := maps.Clone(now)
	if next == nil {
		next = map[gpu.UUID]command{}
	}
	f(next)
	if c.dir != "" {
		data, err := json.MarshalIndent(commandState{Version: commandVersion, GPUs: next}, "", "  ")
		if err != nil {
			return fmt.Errorf("encode %s: %w", commandFile, err)
		}
		if err := statefile.Replace(filepath.Join(c.dir, commandFile), data, 0o644); err != nil {
			return err
		}
	}
	c.feed.Set(next)
	return nil
}

// Set commands layouts until they are released: they go before the label and the configuration, and outlive the agent. It returns
// when they are kept, not when they are reached. One that cannot be is refused, and then none is set.
func (p *Partitioner) Set(_ context.Context, targets map[gpu.UUID]parted.Target) error {
	s, _ := p.cfg.Snapshots.Get()
	for _, uuid := range slices.Sorted(maps.Keys(targets)) {
		if err := p.possible(s, uuid, targets[uuid]); err != nil {
			return err
		}
	}
	return p.commands.edit(func(all map[gpu.UUID]command) {
		for uuid, t := range targets {
			all[uuid] = commandOf(t)
		}
	})
}

// Release ends commands; those GPUs follow the label or the configuration again. Without UUIDs all are ended.
func (p *Partitioner) Release(_ context.Context, uuids []gpu.UUID) error {
	now, _ := p.commands.feed.Get()
	for _, uuid := range uuids {
		if _, ok := now[uuid]; !ok {
			return fmt.Errorf("nothing is commanded for %s", uuid)
		}
	}
	return p.commands.edit(func(all map[gpu.UUID]command) {
		if len(uuids) == 0 {
			clear(all)
		}
		for _, uuid := range uuids {
			delete(all, uuid)
		}
	})
}

// possible checks a layout against what the driver says of the GPU, as if nothing were on it.
func (p *Partitioner) possible(s *gpu.Snapshot, uuid gpu.UUID, t parted.Target) error {
	var g *gpu.GPU
	if s != nil {
		g = s.GPU(uuid)
	}
	switch {
	case g == nil:
		return fmt.Errorf("there is no GPU %s", uuid)
	case !t.MIG && len(t.Counts) > 0:
		return fmt.Errorf("GPU %d cannot hold instances without MIG mode", g.Index)
	case !t.MIG:
		return nil
	case !g.MIG.Capable:
		return fmt.Errorf("GPU %d (%s) cannot be divided", g.Index, g.Model)
	}
	for _, c := range t.Counts {
		if c.Count < 0 || c.Profile.IsSlice() || !slices.ContainsFunc(g.Geometry.Profiles, func(i mig.ProfileInfo) bool { return i.Profile == c.Profile }) {
			return fmt.Errorf("GPU %d (%s) has no instances %s; it has %s", g.Index, g.Model, c.Profile, profileNames(g.Geometry))
		}
	}
	made := p.planner.Plan(plan.Input{GPUs: []plan.GPU{{
		UUID: uuid, Index: g.Index, Geometry: g.Geometry, Role: plan.Declared, Declared: t.Counts, Mode: plan.Mode{On: true}, Apart: apart(g, s.Driver.Version),
	}}})
	for _, u := range made.Unmet {
		return fmt.Errorf("GPU %d (%s) cannot hold this layout: %s", g.Index, g.Model, u.Reason)
	}
	return nil
}

func profileNames(g mig.Geometry) string {
	var names []string
	for _, info := range g.Profiles {
		names = append(names, info.Profile.String())
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
