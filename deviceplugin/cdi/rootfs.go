package cdi

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// rootfs is a container's root file system. Its content is the image's: every name is resolved within it, whatever links it has
// (openat2 with RESOLVE_IN_ROOT, Linux 5.6; absolute links are those of the container).
type rootfs struct {
	path string
	dir  *os.File
}

func openRootfs(name string) (*rootfs, error) {
	dir, err := os.OpenFile(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &rootfs{name, dir}, nil
}

func (r *rootfs) close() { _ = r.dir.Close() }

// folder opens a folder and makes what is missing of it.
func (r *rootfs) folder(name string) (*os.File, error) {
	at, err := r.open(".")
	walked := "."
	for part := range strings.SplitSeq(strings.Trim(path.Clean("/"+name), "/"), "/") {
		if err != nil {
			return nil, err
		}
		walked = path.Join(walked, part)
		next, missing := r.open(walked)
		if errors.Is(missing, unix.ENOENT) {
			missing = unix.Mkdirat(int(at.Fd()), part, 0o755)
			if missing == nil || errors.Is(missing, unix.EEXIST) {
				next, missing = r.open(walked)
			}
		}
		_ = at.Close()
		at, err = next, missing
	}
	return at, err
}

// open opens a folder that is there.
func (r *rootfs) open(name string) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   unix.O_DIRECTORY | unix.O_RDONLY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for tries := 0; ; tries++ {
		fd, err := unix.Openat2(int(r.dir.Fd()), name, &how)
		if errors.Is(err, unix.EAGAIN) && tries < 100 || errors.Is(err, unix.EINTR) {
			continue // something was renamed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("open %s in the container: %w", name, err)
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// symlink makes or replaces a link. What is no link stays, and made is false.
func (r *rootfs) symlink(target, link string) (made bool, err error) {
	folder, err := r.folder(path.Dir(link))
	if err != nil {
		return false, err
	}
	defer func() { _ = folder.Close() }()
	fd, name := int(folder.Fd()), path.Base(link)
	var st unix.Stat_t
	err = unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return true, unix.Symlinkat(target, fd, name)
	case err != nil:
		return false, err
	case st.Mode&unix.S_IFMT != unix.S_IFLNK:
		return false, nil
	}
	temporary, err := temporaryName(fd, name)
	if err == nil {
		err = unix.Symlinkat(target, fd, temporary)
	}
	if err != nil {
		return false, err
	}
	return true, unix.Renameat(fd, temporary, fd, name)
}

// temporaryName is a name in a folder that nothing has.
func temporaryName(folder int, base string) (string, error) {
	name := "." + base + ".gpulet"
	if err := unix.Unlinkat(folder, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return "", err
	}
	return name, nil
}

// writeFile puts a file in place as a whole.
func (r *rootfs) writeFile(name, content string) error {
	folder, err := r.folder(path.Dir(name))
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	fd, base := int(folder.Fd()), path.Base(name)
	temporary, err := temporaryName(fd, base)
	if err != nil {
		return err
	}
	n, err := unix.Openat(fd, temporary, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(n), temporary)
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return unix.Renameat(fd, temporary, fd, base)
}
