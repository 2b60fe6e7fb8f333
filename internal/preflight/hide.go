package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/rcdir"
)

// checkHide looks at the paths in netns_hide.
func (s *serviceCheck) checkHide() {
	var good []string
	var faults []finding.Finding
	for _, path := range strings.Fields(s.settings.Hide) {
		err := mounts.CheckHidden(path)
		switch {
		case err == nil:
			good = append(good, path)
			continue
		case errors.Is(err, fs.ErrPermission):
			s.unchecked(finding.UncheckedError, err)
			good = append(good, path)
			continue
		case filepath.IsAbs(path):
			faults = append(faults, finding.Finding{ID: finding.HideMissing, Args: []any{err}})
			continue
		}
		faults = append(faults, finding.Finding{ID: finding.HideRelative, Args: []any{err}})
		if _, err := os.Stat("/" + path); err == nil {
			good = append(good, "/"+path)
		}
	}
	for _, f := range faults {
		s.add(f.ID, finding.Fails, s.from["netns_hide"], s.edit("netns_hide", strings.Join(good, " ")), f.Args...)
	}
}

// hides reports whether netns_hide covers path.
func (s *serviceCheck) hides(path string) bool {
	path = resolved(path)
	for _, hidden := range strings.Fields(s.settings.Hide) {
		if hidden = resolved(hidden); path == hidden || strings.HasPrefix(path, hidden+"/") {
			return true
		}
	}
	return false
}

func resolved(path string) string {
	file, err := files.OpenFirm(path)
	if err != nil {
		return filepath.Clean(path)
	}
	defer file.Close()
	target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		return filepath.Clean(path)
	}
	return target
}

// hide is the remedy of one path more in netns_hide.
func (s *serviceCheck) hide(path string) finding.Remedy {
	if _, set := s.from["netns_hide"]; set {
		return s.edit("netns_hide", strings.TrimSpace(s.settings.Hide+" "+path))
	}
	return finding.Remedy{}.RunTo(filepath.Join(rcdir.Conf, s.Name), "echo", `netns_hide="`+path+`"`)
}
