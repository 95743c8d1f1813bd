package cdi

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// driverFiles are the files of the driver that a container needs. Paths are absolute within the driver's root.
type driverFiles struct {
	version   string
	libraries []library
	programs  []program
	// firmware and sockets are mounted where they are.
	firmware, sockets []string
	// reason says what is missing or odd; empty when all is well.
	reason string
}

type library struct {
	path string
	// soname is the short name by which programs ask for it, such as libcuda.so.1; empty when it is the file's own name.
	soname string
}

// program is one that containers find at path; file is where it is, which differs where path is a link.
type program struct{ path, file string }

// libraryFolders are where distributions put the driver's 64-bit libraries, the first that has one wins.
func libraryFolders() []string {
	return []string{
		"usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu",
		"lib64", "usr/lib/x86_64-linux-gnu/nvidia/current", "usr/lib/aarch64-linux-gnu/nvidia/current",
		"usr/local/nvidia/lib64", "usr/lib", "lib", "run/opengl-driver/lib",
	}
}

func programFolders() []string {
	return []string{"usr/bin", "bin", "usr/sbin", "sbin", "usr/local/nvidia/bin", "opt/bin", "run/opengl-driver/bin"}
}

func programNames() []string {
	return []string{
		"nvidia-smi", "nvidia-debugdump", "nvidia-persistenced", "nvidia-cuda-mps-control", "nvidia-cuda-mps-server",
		"nvidia-imex", "nvidia-imex-ctl",
	}
}

func firmwareFolders() []string { return []string{"lib/firmware/nvidia", "usr/lib/firmware/nvidia"} }

func socketNames() []string {
	return []string{"run/nvidia-persistenced/socket", "run/nvidia-fabricmanager/socket"}
}

// discover finds the driver's files below a root. want is the version of the loaded driver; empty when it is not known.
// Each library of the driver ends with the driver's version, so one of them tells the names of all.
func discover(rootPath, want string) driverFiles {
	var d driverFiles
	root, err := os.OpenRoot(rootPath)
	if err != nil {
		d.reason = "the driver's root cannot be read: " + err.Error()
		return d
	}
	defer func() { _ = root.Close() }()
	versions := installed(root)
	switch {
	case len(versions) == 0:
		d.reason = "no library of the driver was found below " + rootPath
		return d
	case slices.Contains(versions, want):
		d.version = want
	default:
		d.version = versions[len(versions)-1]
		if want != "" {
			d.reason = fmt.Sprintf("the driver's libraries are of version %s, the loaded driver is %s", d.version, want)
		}
	}
	taken := map[string]bool{}
	for _, folder := range libraryFolders() {
		for _, e := range entries(root, folder) {
			file := path.Join(folder, e.Name())
			if !strings.HasSuffix(e.Name(), ".so."+d.version) || taken[e.Name()] || !regular(root, file) {
				continue
			}
			taken[e.Name()] = true
			d.libraries = append(d.libraries, library{"/" + file, soname(root, file)})
		}
	}
	for _, name := range programNames() {
		for _, folder := range programFolders() {
			at := path.Join(folder, name)
			if file, ok := follow(root, at); ok {
				d.programs = append(d.programs, program{"/" + at, "/" + file})
				break
			}
		}
	}
	for _, folder := range firmwareFolders() {
		folder = path.Join(folder, d.version)
		for _, e := range entries(root, folder) {
			if file := path.Join(folder, e.Name()); regular(root, file) {
				d.firmware = append(d.firmware, "/"+file)
			}
		}
		if len(d.firmware) > 0 {
			break // the other name of the same folder
		}
	}
	for _, name := range socketNames() {
		if info, err := root.Stat(name); err == nil && info.Mode()&fs.ModeSocket != 0 {
			d.sockets = append(d.sockets, "/"+name)
		}
	}
	return d
}

// installed lists the versions of the driver's main libraries, the lowest first.
func installed(root *os.Root) []string {
	name := regexp.MustCompile(`^lib(?:cuda|nvidia-ml)\.so\.([0-9]{3,}\.[0-9.]*[0-9])$`)
	var versions []string
	for _, folder := range libraryFolders() {
		for _, e := range entries(root, folder) {
			if found := name.FindStringSubmatch(e.Name()); found != nil && regular(root, path.Join(folder, e.Name())) {
				versions = append(versions, found[1])
			}
		}
	}
	slices.SortFunc(versions, compareVersions)
	return slices.Compact(versions)
}

// compareVersions orders dotted numbers.
func compareVersions(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
}

// soname reads a library's short name; of what is no ELF file it is that of nearly all: libX.so.1.
func soname(root *os.Root, file string) string {
	f, err := root.Open(file)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	base := path.Base(file)
	stem, _, _ := strings.Cut(base, ".so.")
	short := stem + ".so.1"
	if e, err := elf.NewFile(f); err == nil {
		if names, err := e.DynString(elf.DT_SONAME); err == nil && len(names) == 1 {
			short = names[0]
		}
	}
	if short == base || strings.Contains(short, "/") || !strings.HasPrefix(short, "lib") {
		return ""
	}
	return short
}

// entries lists a folder; one that is not there is empty.
func entries(root *os.Root, folder string) []fs.DirEntry {
	list, err := fs.ReadDir(root.FS(), path.Clean(folder))
	if err != nil {
		return nil
	}
	return list
}

// follow finds the file behind a name. Debian's programs are absolute links to links in /etc/alternatives; what they name is
// meant within the root, which os.Root does not follow.
func follow(root *os.Root, name string) (file string, ok bool) {
	for range 10 {
		to, err := root.Readlink(name)
		switch {
		case err != nil:
			return name, regular(root, name)
		case path.IsAbs(to):
			name = path.Clean(to)[1:]
		default:
			name = path.Join(path.Dir(name), to)
		}
	}
	return "", false
}

// regular reports whether a file is one, or a link to one, within the root.
func regular(root *os.Root, file string) bool {
	info, err := root.Stat(file)
	return err == nil && info.Mode().IsRegular()
}
