package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
)

// collectorsLook is between two looks at the collectors file.
const collectorsLook = 5 * time.Second

// collectorsFile is the collectors file of dcgm-exporter that says which fields are exported. What is wrong with it costs nothing but
// itself: what was right last goes on, or dcgm-exporter's defaults.
type collectorsFile struct {
	log *slog.Logger

	// The rest but told belongs to the goroutine that follows.
	path   string
	data   []byte
	fields []family.Selected

	told atomic.Pointer[collectorsState]
}

// collectorsState is what status says of the file.
type collectorsState struct {
	Path     string
	Err      error
	Warnings []family.Problem
}

func newCollectorsFile(log *slog.Logger) *collectorsFile {
	c := &collectorsFile{log: log, fields: family.Defaults()}
	c.told.Store(&collectorsState{})
	return c
}

// read gives the fields that the file at a path names; without a path the defaults.
func (c *collectorsFile) read(path string) []family.Selected {
	if path == "" {
		c.path, c.data, c.fields = "", nil, family.Defaults()
		c.told.Store(&collectorsState{})
		return c.fields
	}
	data, err := config.ReadFile(path)
	if err == nil && len(data) > config.MaxFile {
		err = fmt.Errorf("%s has more than %d KiB", path, config.MaxFile>>10)
	}
	if err == nil && path == c.path && bytes.Equal(data, c.data) {
		return c.fields
	}
	var fields []family.Selected
	var warnings []family.Problem
	c.path, c.data = path, data
	if err == nil {
		fields, warnings, err = family.ParseCollectors(path, data)
	}
	c.tell(&collectorsState{Path: path, Err: err, Warnings: warnings})
	if err == nil {
		c.fields = fields
	}
	return c.fields
}

// tell publishes a state and logs what is new in it.
func (c *collectorsFile) tell(s *collectorsState) {
	old := c.told.Swap(s)
	switch {
	case s.Err != nil && (old.Err == nil || old.Err.Error() != s.Err.Error()):
		c.log.Warn("the collectors file is wrong; what was exported goes on", "file", s.Path, "reason", s.Err)
	case s.Err == nil:
		c.log.Info("the collectors file says what is exported", "file", s.Path)
	}
	for _, w := range s.Warnings {
		if !reflect.DeepEqual(old.Warnings, s.Warnings) {
			c.log.Warn("the collectors file", "line", w.String())
		}
	}
}

// sources are what status says of the file.
func (c *collectorsFile) sources() (out []Source) {
	s := c.told.Load()
	if s.Path == "" {
		return nil
	}
	if s.Err != nil {
		return []Source{{Name: "collectors " + s.Path, Reason: s.Err.Error()}}
	}
	out = append(out, Source{Name: "collectors " + s.Path, OK: true})
	for _, w := range s.Warnings {
		out = append(out, Source{Name: "collectors", OK: true, Reason: w.String()})
	}
	return out
}

// follow keeps the exporter's settings up to date with the configuration and the collectors file until ctx ends.
func (c *collectorsFile) follow(ctx context.Context, states *gpu.Feed[config.State], to *gpu.Feed[exporter.Settings]) error {
	tick := time.NewTicker(collectorsLook)
	defer tick.Stop()
	for {
		state, changed := states.Get()
		next := c.settings(state.Config)
		if now, _ := to.Get(); !reflect.DeepEqual(now, next) {
			to.Set(next)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}

// settings are those of a configuration, with the fields of its collectors file.
func (c *collectorsFile) settings(from config.Config) exporter.Settings {
	s := from.Metrics.Settings
	s.Expose.Fields = c.read(from.Metrics.Collectors)
	return s
}
