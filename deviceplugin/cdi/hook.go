package cdi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The hooks, as the words behind `gpulet cdi-hook`.
const (
	hookLinks = "create-symlinks" // <link>=<target>...
	hookCache = "update-ldcache"  // <folder>...
)

// hookTimeout is how many seconds the runtime gives a hook, ldconfigTimeout how long one step may take of them.
const (
	hookTimeout     = 20
	ldconfigTimeout = 10 * time.Second
)

// maxState bounds what is read of the runtime's files.
const maxState = 8 << 20

// RunHook is `gpulet cdi-hook`: a container runtime runs it in the container's namespaces, before the container's root becomes
// the root, with the container's OCI state on stdin. args are the words behind cdi-hook, as the driver's spec has them:
//
//	create-symlinks <link>=<target>...   makes links in the container; the targets are names in the same folder
//	update-ldcache <folder>...           lets the container's dynamic linker search the folders
//
// A container does not start when an error returns, so that is kept for links that cannot be made and for a wrong call.
// An old linker cache costs convenience alone: what goes wrong with it is told on stderr.
func RunHook(ctx context.Context, args []string, stdin io.Reader, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New("cdi-hook: want create-symlinks or update-ldcache")
	}
	path, err := containerRoot(stdin)
	if err != nil {
		return fmt.Errorf("cdi-hook %s: %w", args[0], err)
	}
	root, err := openRootfs(path)
	if err != nil {
		return fmt.Errorf("cdi-hook %s: open the container's root: %w", args[0], err)
	}
	defer root.close()
	warn := func(err error) { _, _ = fmt.Fprintf(stderr, "gpulet cdi-hook %s: %v\n", args[0], err) }
	switch args[0] {
	case hookLinks:
		if err := createLinks(root, args[1:], warn); errors.Is(err, unix.ENOSYS) {
			warn(fmt.Errorf("this kernel has no openat2, the links are left to ldconfig: %w", err))
		} else if err != nil {
			return fmt.Errorf("cdi-hook %s: %w", args[0], err)
		}
	case hookCache:
		ctx, cancel := context.WithTimeout(ctx, ldconfigTimeout)
		defer cancel()
		if err := updateCache(ctx, root, ldconfig(), args[1:]); err != nil {
			warn(err)
		}
	default:
		return fmt.Errorf("cdi-hook: %q is neither create-symlinks nor update-ldcache", args[0])
	}
	return nil
}

// containerRoot reads the OCI state and the bundle's configuration: where the container's root file system is.
func containerRoot(stdin io.Reader) (string, error) {
	var state struct{ Bundle string }
	if err := json.NewDecoder(io.LimitReader(stdin, maxState)).Decode(&state); err != nil {
		return "", fmt.Errorf("read the container's state: %w", err)
	}
	if !filepath.IsAbs(state.Bundle) {
		return "", fmt.Errorf("read the container's state: %q is no bundle", state.Bundle)
	}
	file, err := os.Open(filepath.Join(state.Bundle, "config.json"))
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	var config struct{ Root struct{ Path string } }
	if err := json.NewDecoder(io.LimitReader(file, maxState)).Decode(&config); err != nil {
		return "", fmt.Errorf("read %s: %w", file.Name(), err)
	}
	switch root := config.Root.Path; {
	case root == "":
		return "", fmt.Errorf("read %s: it names no root", file.Name())
	case filepath.IsAbs(root):
		return root, nil
	default:
		return filepath.Join(state.Bundle, root), nil
	}
}

// createLinks makes links such as /usr/lib64/libcuda.so.1=libcuda.so.550.54.15.
func createLinks(root *rootfs, links []string, warn func(error)) error {
	for _, l := range links {
		link, target, found := strings.Cut(l, "=")
		if !found || !filepath.IsAbs(link) || target == "" || strings.Contains(target, "/") {
			return fmt.Errorf("%q is not <link>=<name in the same folder>", l)
		}
		made, err := root.symlink(target, link)
		if err != nil {
			return fmt.Errorf("link %s to %s: %w", link, target, err)
		}
		if !made {
			warn(fmt.Errorf("%s of the image is no link and stays", link))
		}
	}
	return nil
}
