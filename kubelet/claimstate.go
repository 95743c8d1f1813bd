package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gpulet/gpulet/gpu/statefile"
)

// claimsFile is the name of the claims' file in the state folder, claimsVersion that of its form.
const (
	claimsFile    = "claims.json"
	claimsVersion = 1
)

// claimState is what outlives the agent.
type claimState struct {
	Version int     `json:"version"`
	BootID  string  `json:"bootID"`
	Claims  []Claim `json:"claims"`
}

// parseClaims reads a state file. One that makes no sense anywhere is an error as a whole: the kubelet's own account is better.
func parseClaims(data []byte) (claimState, error) {
	var s claimState
	if err := json.Unmarshal(data, &s); err != nil {
		return claimState{}, fmt.Errorf("read %s: %w", claimsFile, err)
	}
	if s.Version != claimsVersion {
		return claimState{}, fmt.Errorf("read %s: version %d is not %d", claimsFile, s.Version, claimsVersion)
	}
	for i, c := range s.Claims {
		if c.Resource == "" || c.ID == "" || c.Confirmed && c.Pod == "" {
			return claimState{}, fmt.Errorf("read %s: claim %d does not say of what or whose it is", claimsFile, i)
		}
	}
	return s, nil
}

// loadClaims reads the file of a folder; a missing one is empty.
func loadClaims(dir string) (claimState, error) {
	if dir == "" {
		return claimState{}, nil
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return claimState{}, nil
	}
	if err != nil {
		return claimState{}, fmt.Errorf("open the state folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	data, err := root.ReadFile(claimsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return claimState{}, nil
	}
	if err != nil {
		return claimState{}, fmt.Errorf("read %s: %w", claimsFile, err)
	}
	return parseClaims(data)
}

// saveClaims replaces the file as a whole.
func saveClaims(dir string, s claimState) (err error) {
	if dir == "" {
		return nil
	}
	s.Version = claimsVersion
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", claimsFile, err)
	}
	return statefile.Replace(filepath.Join(dir, claimsFile), data, 0o644)
}

// restore takes the claims of an earlier process into the book.
//
// After a reboot no container of then runs any more. What is left is what the kubelet will admit again with the devices that its
// checkpoint names, without asking us; those claims are kept, and the others were of pods that will be given devices anew if at all.
// A checkpoint that cannot be read tells nothing, and all are kept; one that is not there means that the kubelet starts from nothing.
func (b *book) restore(s claimState, bootID string, checkpoint *Checkpoint) {
	rebooted := s.BootID != "" && bootID != "" && s.BootID != bootID
	for _, c := range s.Claims {
		if rebooted && checkpoint != nil && !checkpoint.has(&c) {
			b.note("closed", &held{Claim: c}, "the machine was rebooted, and the kubelet's checkpoint does not have it")
			continue
		}
		if c.Pod != "" && b.exact(c.key(), c.Pod, c.Container) != nil {
			continue // it was opened again meanwhile
		}
		b.changed = true
		b.claims = append(b.claims, &held{Claim: c, why: "kept from before the restart"})
	}
}
