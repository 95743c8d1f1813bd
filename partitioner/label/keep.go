package label

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/gpu/statefile"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/parted"
)

// keptFile is the file of the state folder. An agent that starts while the API server is away goes on with what it says, and does
// not take apart what was declared.
const keptFile = "mig-label.json"

// keeper keeps the declaration over restarts.
type keeper struct {
	dir  string
	log  *slog.Logger
	none bool // it is known that nothing is kept
}

type kept struct {
	Source  string                  `json:"source"`
	Targets map[gpu.UUID]keptTarget `json:"targets"`
}

type keptTarget struct {
	MIG    bool           `json:"mig"`
	Counts map[string]int `json:"counts,omitempty"`
}

func (k *keeper) path() string { return filepath.Join(k.dir, keptFile) }

// load is nil when nothing is kept, or nothing that can be read.
func (k *keeper) load() *partitioner.Declaration {
	if k.dir == "" {
		return nil
	}
	data, err := os.ReadFile(k.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var in kept
	if err == nil {
		err = json.Unmarshal(data, &in)
	}
	out := &partitioner.Declaration{Source: in.Source, Targets: map[gpu.UUID]parted.Target{}}
	for uuid, t := range in.Targets {
		have := map[mig.Profile]int{}
		for name, n := range t.Counts {
			p, parseErr := mig.ParseProfile(name)
			if have[p] = n; parseErr != nil {
				err = parseErr
			}
		}
		out.Targets[uuid] = parted.Target{MIG: t.MIG, Counts: parted.Counts(have)}
	}
	if err != nil {
		k.log.Warn("what the label declared before this start is not known", "err", err)
		return nil
	}
	return out
}

// keep writes a declaration, or removes what was kept.
func (k *keeper) keep(d *partitioner.Declaration) {
	if k.dir == "" || d == nil && k.none {
		return
	}
	var err error
	if d == nil {
		if err = os.Remove(k.path()); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		out := kept{d.Source, map[gpu.UUID]keptTarget{}}
		for uuid, t := range d.Targets {
			kt := keptTarget{MIG: t.MIG, Counts: map[string]int{}}
			for _, c := range t.Counts {
				kt.Counts[c.Profile.String()] = c.Count
			}
			out.Targets[uuid] = kt
		}
		var data []byte
		if data, err = json.Marshal(out); err == nil {
			err = statefile.Replace(k.path(), data, 0o644)
		}
	}
	if err != nil {
		k.log.Warn("what the label declares is not kept over a restart", "err", err)
	}
	k.none = d == nil && err == nil
}
