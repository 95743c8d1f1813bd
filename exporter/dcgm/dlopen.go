package dcgm

// #cgo LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stdlib.h>
// static void *gpulet_open(const char *path) { return dlopen(path, RTLD_LAZY | RTLD_GLOBAL); }
import "C"

import (
	"cmp"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/gpulet/gpulet/gpu"
)

// soname is what go-dcgm opens: a library that is loaded under this name already is the one that it gets.
const soname = "libdcgm.so.4"

// loaded is a library in this process. It stays until the process ends: its threads may outlive a connection.
type loaded struct {
	handle unsafe.Pointer
	path   string
	why    string // it is not: the loader's words
}

// load opens libdcgm and looks that it has what go-dcgm will call: a function that is not there would end the process.
func load(at place) (loaded, error) {
	l := find(at.Library, at.Root, soname)
	if l.handle == nil {
		return l, troublef(gpu.NoSource, "DCGM cannot be loaded: %s", l.why)
	}
	for _, f := range needed() {
		if !l.has(f) {
			return l, troublef(gpu.NoFunction, "%s lacks %s: it is not of DCGM 4", l.path, f)
		}
	}
	return l, nil
}

// preloadNVML makes NVIDIA's library known by its name: libdcgm opens it by that and has no option for its place. Where it is not
// found, libdcgm will say so.
func preloadNVML(at place) { find(at.NVML, at.Root, "libnvidia-ml.so.1") }

// find opens a library at path or, when that is empty, by its name and then below root.
func find(path, root, name string) loaded {
	l := open(cmp.Or(path, name))
	if l.handle != nil || path != "" || root == "" {
		return l
	}
	for _, dir := range libraryFolders() {
		below := filepath.Join(root, dir, name)
		if _, err := os.Stat(below); err == nil {
			return open(below)
		}
	}
	return l
}

func open(path string) loaded {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	l := loaded{path: path}
	if l.handle = C.gpulet_open(name); l.handle == nil {
		l.why = C.GoString(C.dlerror())
	}
	return l
}

// libraryFolders are where distributions keep libraries.
func libraryFolders() []string {
	return []string{"usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib", "usr/local/dcgm/lib64"}
}

// has tells whether the library has a function.
func (l loaded) has(function string) bool {
	name := C.CString(function)
	defer C.free(unsafe.Pointer(name))
	return C.dlsym(l.handle, name) != nil
}

// needed are the functions that are called in any case.
func needed() []string {
	return []string{
		"errorString", "dcgmInit", "dcgmShutdown", "DcgmFieldGetById", "dcgmGetEntityGroupEntities", "dcgmEntitiesGetLatestValues",
		"dcgmGroupCreate", "dcgmGroupAddEntity", "dcgmGroupDestroy", "dcgmFieldGroupCreate", "dcgmFieldGroupDestroy",
		"dcgmWatchFields", "dcgmUnwatchFields", "dcgmUpdateAllFields",
	}
}
