package gpu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gpulet/gpulet/gpu/statefile"
)

func errIs(err, target error) bool { return errors.Is(err, target) }

// stateFile is the name of the Monitor's file in the state folder.
const stateFile = "gpu-health.json"

// stateVersion is the version of its form.
const stateVersion = 1

// state is what outlives the agent: the GPUs of this boot and why they are not healthy.
type state struct {
	Version int    `json:"version"`
	BootID  string `json:"bootID"`
	// Module is the inode of the kernel module's folder in sysfs: another one when the driver was loaded anew. 0: not known.
	Module uint64      `json:"module,omitempty"`
	GPUs   []seenState `json:"gpus"`
}

type seenState struct {
	Index    int      `json:"index"`
	Identity Identity `json:"identity"`
	// Layout is the last one seen, so that a GPU that is lost when the agent starts keeps the devices that it had.
	Layout Layout  `json:"layout"`
	Causes []Cause `json:"causes,omitempty"`
	Memory *Memory `json:"memory,omitempty"`
}

// parseState reads a state file. One of another boot is empty: a reboot resets every GPU.
func parseState(data []byte, bootID string) (state, error) {
	s := state{}
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, fmt.Errorf("read %s: %w", stateFile, err)
	}
	if s.Version != stateVersion {
		return state{}, fmt.Errorf("read %s: version %d is not %d", stateFile, s.Version, stateVersion)
	}
	if s.BootID != bootID {
		return state{}, nil
	}
	for _, g := range s.GPUs {
		if g.Identity.UUID == "" || g.Index < 0 {
			return state{}, fmt.Errorf("read %s: a GPU without UUID or index", stateFile)
		}
		for _, c := range g.Causes {
			if c.State <= Healthy || c.State > Recovering || c.Kind == "" || (c.Cure != CureProbe && c.Cure != CureReset) {
				return state{}, fmt.Errorf("read %s: a cause of %s makes no sense", stateFile, g.Identity.UUID)
			}
		}
	}
	return s, nil
}

// loadState reads the file of a folder; a missing one is empty.
func loadState(dir, bootID string) (state, error) {
	if dir == "" {
		return state{}, nil
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("open the state folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	data, err := root.ReadFile(stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("read %s: %w", stateFile, err)
	}
	return parseState(data, bootID)
}

// saveState replaces the file as a whole.
func saveState(dir string, s state) (err error) {
	if dir == "" {
		return nil
	}
	s.Version = stateVersion
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", stateFile, err)
	}
	return statefile.Replace(filepath.Join(dir, stateFile), data, 0o644)
}
