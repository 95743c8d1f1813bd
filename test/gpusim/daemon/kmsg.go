package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// kmsg is the kernel's log as a regular file that only grows: readers may hold it open. A boot begins another file.
type kmsg struct {
	path string
	boot string
	last uint64
}

func (k *kmsg) update(n *model.Node) error {
	list, boot := n.XIDs(k.last)
	flags := os.O_APPEND
	if boot != k.boot {
		if err := os.Remove(k.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		list, _ = n.XIDs(0)
		k.boot, k.last, flags = boot, 0, os.O_TRUNC
	} else if len(list) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(k.path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(k.path, os.O_CREATE|os.O_WRONLY|flags, 0o644)
	if err != nil {
		return fmt.Errorf("kernel log: %w", err)
	}
	for _, x := range list {
		if _, err = f.WriteString(x.Record); err != nil {
			break
		}
		k.last = x.Seq
	}
	return errors.Join(err, f.Close())
}
