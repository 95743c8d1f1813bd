package xids

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// errReplaced: another file has the path now.
var errReplaced = errors.New("the log was replaced by another file")

// maxRecord is more than the kernel writes in one record; a buffer that is too small makes it refuse.
const maxRecord = 32 << 10

// file is an opened log. os.File is one; reading /dev/kmsg it waits in the runtime's poller.
type file interface {
	io.ReadSeekCloser
	Stat() (fs.FileInfo, error)
	SetReadDeadline(t time.Time) error
}

func openLog(path string) (file, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// read follows the log, from its end unless all of it is new, until ctx ends or it cannot be read.
func (r *Reader) read(ctx context.Context) error {
	f, err := r.open(r.cfg.Path)
	if err != nil {
		return fmt.Errorf("open the kernel log: %w", err)
	}
	// Closing is what ends a Read that waits.
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer func() {
		stop()
		_ = f.Close()
	}()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at the kernel log: %w", err)
	}
	if info.Mode().IsDir() {
		return fmt.Errorf("%s is a folder", r.cfg.Path)
	}
	t := tail{file: f, regular: info.Mode().IsRegular()}
	if !t.regular || !r.unread {
		t.at, err = f.Seek(0, io.SeekEnd)
		if err != nil && !errors.Is(err, unix.ESPIPE) {
			return fmt.Errorf("find the end of the kernel log: %w", err)
		}
	}
	r.unread = false
	r.state("")
	return r.follow(ctx, &t)
}

// follow hands over lines as they come.
func (r *Reader) follow(ctx context.Context, t *tail) error {
	buf := make([]byte, maxRecord)
	overwritten := false
	for {
		r.settle()
		deadline := time.Time{}
		if len(r.waiting) > 0 {
			deadline = time.Now().Add(look)
		}
		_ = t.file.SetReadDeadline(deadline) // a file that has no deadlines does not wait either
		n, err := t.file.Read(buf)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.split(buf[:n], r.take)
		switch {
		case err == nil:
			overwritten = false
		case errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, unix.EPIPE): // the log went round before it was read; the next read has the oldest that is left
			if overwritten {
				r.pause(ctx, look)
			}
			overwritten = true
			r.overrun()
		case errors.Is(err, io.EOF):
			if t.replaced {
				r.unread = true
				return errReplaced
			}
			r.pause(ctx, look)
			if err := r.lookAt(t); err != nil {
				return err
			}
		case errors.Is(err, unix.EAGAIN): // it cannot be polled
			r.pause(ctx, look)
		default:
			return fmt.Errorf("read the kernel log: %w", err)
		}
	}
}

// overrun takes note of records that were lost.
func (r *Reader) overrun() {
	r.mu.Lock()
	r.errors++
	r.mu.Unlock()
	r.cfg.Log.Warn("the kernel log was overwritten before it was read: XIDs may be missing from it", "path", r.cfg.Path)
}

// lookAt looks at a file whose end was reached: it may have been cut, or replaced.
func (r *Reader) lookAt(t *tail) error {
	if !t.regular {
		return nil
	}
	info, err := t.file.Stat()
	if err != nil {
		return fmt.Errorf("look at the kernel log: %w", err)
	}
	if info.Size() < t.at {
		if t.at, err = t.file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("go back to the start of the kernel log: %w", err)
		}
		t.part, t.skip = nil, false
	}
	now, err := os.Stat(r.cfg.Path)
	switch {
	case err != nil:
		r.state(fmt.Sprintf("%s is gone", r.cfg.Path)) // what comes after it is read from its start
	case !os.SameFile(info, now):
		t.replaced = true
	default:
		r.state("")
	}
	return nil
}

// tail is where we are in a log.
type tail struct {
	file     file
	regular  bool
	replaced bool   // what is left is the rest of an old file
	at       int64  // of a regular file
	part     []byte // a line whose end was not written yet
	skip     bool   // until the end of a line that is too long
}

// split takes what was read to lines. A record of /dev/kmsg is whole, and its further lines, which begin with a space, are
// never the beginning of a message.
func (t *tail) split(b []byte, take func(string)) {
	t.at += int64(len(b))
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		b = rest
		if len(t.part)+len(line) > maxRecord {
			t.part, t.skip = nil, true
		} else if !t.skip {
			t.part = append(t.part, line...)
		}
		if !ended && t.regular {
			return
		}
		if !t.skip {
			take(string(t.part))
		}
		t.part, t.skip = t.part[:0], false
	}
}
