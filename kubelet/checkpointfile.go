package kubelet

import (
	"os"
	"time"
)

// checkpointFile reads the kubelet's checkpoint again only when it was replaced. It belongs to one goroutine.
type checkpointFile struct {
	path string
	last *Checkpoint
	info os.FileInfo
	told string
}

// read gives the newest checkpoint, with Read as of now.
func (f *checkpointFile) read() (*Checkpoint, error) {
	now := time.Now()
	info, err := os.Stat(f.path)
	if err == nil && f.last != nil && os.SameFile(info, f.info) && info.ModTime().Equal(f.info.ModTime()) && info.Size() == f.info.Size() {
		again := *f.last
		again.Read = now
		return &again, nil
	}
	f.last, f.info = nil, nil
	checkpoint, readErr := ReadCheckpoint(f.path)
	if readErr != nil {
		return nil, readErr
	}
	if err == nil && checkpoint.Written.Equal(info.ModTime()) {
		f.last, f.info = checkpoint, info
	}
	return checkpoint, nil
}

// news is an error that was not told yet, as text.
func (f *checkpointFile) news(err error) string {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == f.told {
		return ""
	}
	f.told = text
	return text
}
