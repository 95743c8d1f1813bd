package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpulet/gpulet/gpu/statefile"
)

// The files of the lock in the state folder. The lock itself is a flock, so it ends with its process whatever happens to it.
const (
	lockFile    = "lock"
	waitingFile = "lock.waiting" // held, shared, by those who wait
	ownerFile   = "owner.json"   // who has the lock, for people and for the one who had it before
)

// lockPoll is between two tries to get the lock, and two looks at what the successor says.
const lockPoll = 50 * time.Millisecond

// Owner is who has the lock of a state folder.
type Owner struct {
	// ID is random for each process: pids mean little across containers.
	ID      string    `json:"id"`
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	// Listed: the kubelet has had the list of each of its resources.
	Listed bool `json:"listed"`
}

// Lock is the right to list devices, to write CDI specs and claims, and to change hardware on this node.
type Lock struct {
	// Untold is why it is not written down who has the lock, as on a full disk; nil when it is. The lock holds all the same.
	Untold error

	dir   string
	file  *os.File
	owner Owner
}

// Acquire waits for the lock of a state folder until ctx ends. It calls waiting once if another has it.
func Acquire(ctx context.Context, dir, version string, waiting func(Owner)) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	l := &Lock{dir: dir, owner: Owner{ID: rand.Text(), PID: os.Getpid(), Version: version}}
	file, err := openLock(dir, lockFile)
	if err != nil {
		return nil, err
	}
	got, err := flock(file, unix.LOCK_EX)
	if err == nil && !got {
		err = queue(ctx, dir, file, waiting)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take the lock of %s: %w", dir, err), file.Close())
	}
	l.file, l.owner.Since = file, time.Now()
	l.Untold = l.tell()
	return l, nil
}

// queue waits with others; that somebody waits can be seen from outside.
func queue(ctx context.Context, dir string, file *os.File, waiting func(Owner)) error {
	mark, err := openLock(dir, waitingFile)
	if err != nil {
		return err
	}
	defer func() { _ = mark.Close() }()
	owner, _, _ := LockOwner(dir)
	waiting(owner)
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for marked := false; ; {
		if !marked {
			if marked, err = flock(mark, unix.LOCK_SH); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if got, err := flock(file, unix.LOCK_EX); got || err != nil {
			return err
		}
	}
}

func openLock(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	return f, nil
}

// flock tries once; false when another has it.
func flock(f *os.File, how int) (bool, error) {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// tell writes who has the lock.
func (l *Lock) tell() error {
	data, err := json.Marshal(l.owner)
	if err != nil {
		return fmt.Errorf("encode %s: %w", ownerFile, err)
	}
	return statefile.Replace(filepath.Join(l.dir, ownerFile), data, 0o644)
}

// Listed says, for the one who had the lock before, that the kubelet has all lists.
func (l *Lock) Listed() error {
	l.owner.Listed = true
	return l.tell()
}

// Wanted reports whether another waits for the lock.
func (l *Lock) Wanted() bool {
	f, err := openLock(l.dir, waitingFile)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	alone, err := flock(f, unix.LOCK_EX)
	return err == nil && !alone
}

// Release gives the lock up. What this process has shown the kubelet stays until its sockets close.
func (l *Lock) Release() error { return l.file.Close() }

// Succeeded waits, after Release, until the next owner says that the kubelet has its lists, or ctx ends.
func (l *Lock) Succeeded(ctx context.Context) error {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		if o, _, err := LockOwner(l.dir); err == nil && o.ID != l.owner.ID && o.Listed {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// LockOwner reads who has, or last had, the lock of a state folder, and whether it is held now. It takes nothing.
func LockOwner(dir string) (o Owner, held bool, err error) {
	data, err := os.ReadFile(filepath.Join(dir, ownerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Owner{}, false, nil
	}
	if err != nil {
		return Owner{}, false, fmt.Errorf("read who has the lock: %w", err)
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return Owner{}, false, fmt.Errorf("read who has the lock: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return o, false, fmt.Errorf("look at the lock: %w", err)
	}
	defer func() { _ = f.Close() }()
	// A shared lock for a moment: an agent that tries just then tries again.
	free, err := flock(f, unix.LOCK_SH)
	return o, err == nil && !free, err
}
