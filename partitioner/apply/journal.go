package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/gpu/statefile"
)

// journalDir is the folder of the journals in the state folder, journalVersion that of their form.
const (
	journalDir     = "partition"
	journalVersion = 1
)

// journal is what outlives the agent of one GPU: what is ours and what was under way.
type journal struct {
	Version int `json:"version"`
	// Boot is the boot that the rest belongs to.
	Boot   string  `json:"bootID"`
	Owned  []owned `json:"owned,omitempty"`
	Intent *intent `json:"intent,omitempty"`
	Leaks  []leak  `json:"leaking,omitempty"`
	// Mode is the MIG mode that we set last, nil when somebody else did.
	Mode *bool `json:"mode,omitempty"`
	// Restore is what was there before a reboot and is to be made again.
	Restore *restore `json:"restore,omitempty"`
}

// owned is an instance that we made. Its id may be another's by now: the UUID is what it is known by.
type owned struct {
	Slot     mig.Slot `json:"slot"`
	Instance uint32   `json:"instance"`
	UUID     gpu.UUID `json:"uuid"`
}

// intent is a step under way. When it is on file after a crash, its outcome is found by looking.
type intent struct {
	Op   intentOp `json:"op"`
	Slot mig.Slot `json:"slot,omitzero"`
	// Instance is the GPU instance of a creation once the driver named it, and that of a destruction.
	Instance *uint32 `json:"instance,omitempty"`
	// UUID is that of the MIG device to be destroyed, On the mode to be set.
	UUID gpu.UUID `json:"uuid,omitempty"`
	On   bool     `json:"on,omitempty"`
}

type intentOp string

const (
	intendCreate  intentOp = "create"
	intendDestroy intentOp = "destroy"
	intendMode    intentOp = "mode"
)

// leak is a GPU instance of ours without a compute instance that the driver keeps.
type leak struct {
	Slot     mig.Slot `json:"slot"`
	Instance uint32   `json:"instance"`
	Holder   string   `json:"holder"`
}

// restore is a layout of before a reboot.
type restore struct {
	MIG   bool       `json:"mig"`
	Slots []mig.Slot `json:"slots"`
}

func (j journal) clone() journal {
	j.Owned = slices.Clone(j.Owned)
	j.Leaks = slices.Clone(j.Leaks)
	return j
}

// owner finds what the journal says of an instance that exists: it is ours when its one compute instance is the one that we made.
func (j *journal) owner(in gpu.Instance) (owned, bool) {
	for _, o := range j.Owned {
		if len(in.Compute) == 1 && in.Compute[0].UUID == o.UUID && in.Slot == o.Slot {
			return o, true
		}
	}
	return owned{}, false
}

func (j *journal) disown(uuid gpu.UUID) {
	j.Owned = slices.DeleteFunc(j.Owned, func(o owned) bool { return o.UUID == uuid })
}

func (j *journal) leak(slot mig.Slot) (leak, bool) {
	i := slices.IndexFunc(j.Leaks, func(l leak) bool { return l.Slot == slot })
	if i < 0 {
		return leak{}, false
	}
	return j.Leaks[i], true
}

func (j *journal) stanch(slot mig.Slot) {
	j.Leaks = slices.DeleteFunc(j.Leaks, func(l leak) bool { return l.Slot == slot })
}

// parseJournal reads a file; one that makes no sense anywhere is an error as a whole.
func parseJournal(data []byte) (journal, error) {
	var j journal
	if err := json.Unmarshal(data, &j); err != nil {
		return journal{}, fmt.Errorf("read the journal: %w", err)
	}
	if j.Version != journalVersion {
		return journal{}, fmt.Errorf("read the journal: version %d is not %d", j.Version, journalVersion)
	}
	sensible := func(s mig.Slot) bool { return s.Profile.Slices > 0 && s.Placement.Size > 0 && s.Placement.Start >= 0 }
	for _, o := range j.Owned {
		if o.UUID == "" || !sensible(o.Slot) {
			return journal{}, errors.New("read the journal: an instance without name or place")
		}
	}
	for _, l := range j.Leaks {
		if !sensible(l.Slot) {
			return journal{}, errors.New("read the journal: an instance that leaks, without a place")
		}
	}
	if in := j.Intent; in != nil {
		ok := false
		switch in.Op {
		case intendCreate:
			ok = sensible(in.Slot)
		case intendDestroy:
			ok = sensible(in.Slot) && in.Instance != nil
		case intendMode:
			ok = true
		}
		if !ok {
			return journal{}, fmt.Errorf("read the journal: a step %q that makes no sense", in.Op)
		}
	}
	if j.Restore != nil && slices.ContainsFunc(j.Restore.Slots, func(s mig.Slot) bool { return !sensible(s) }) {
		return journal{}, errors.New("read the journal: an instance to restore, without a place")
	}
	return j, nil
}

// journalName is the name of a GPU's file.
func journalName(uuid gpu.UUID) (string, error) {
	name := string(uuid) + ".json"
	if uuid == "" || !filepath.IsLocal(name) || filepath.Base(name) != name {
		return "", fmt.Errorf("%q is no name of a GPU", uuid)
	}
	return name, nil
}

// loadJournal reads a GPU's file; a missing one is empty. What cannot be read is kept aside, and told as an error.
func loadJournal(dir string, uuid gpu.UUID) (j journal, err error) {
	if dir == "" {
		return journal{}, nil
	}
	name, err := journalName(uuid)
	if err != nil {
		return journal{}, err
	}
	root, err := os.OpenRoot(filepath.Join(dir, journalDir))
	if errors.Is(err, fs.ErrNotExist) {
		return journal{}, nil
	}
	if err != nil {
		return journal{}, fmt.Errorf("open the folder of the journals: %w", err)
	}
	defer func() { _ = root.Close() }()
	data, err := root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return journal{}, nil
	}
	if err == nil {
		j, err = parseJournal(data)
	}
	if err != nil {
		return journal{}, errors.Join(err, root.Rename(name, name+".broken"))
	}
	return j, nil
}

// saveJournal replaces a GPU's file as a whole.
func saveJournal(dir string, uuid gpu.UUID, j journal) error {
	if dir == "" {
		return nil
	}
	name, err := journalName(uuid)
	if err != nil {
		return err
	}
	j.Version = journalVersion
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the journal: %w", err)
	}
	return statefile.Replace(filepath.Join(dir, journalDir, name), data, 0o644)
}
