package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/launch"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
)

// lookAtEtc looks at the files that are to stand in for those of /etc.
func (s *subject) lookAtEtc() {
	name := s.etcName()
	if name == "" {
		return
	}
	binds, err := mounts.EtcEntries(name)
	if errors.Is(err, fs.ErrPermission) {
		s.Unchecked = append(s.Unchecked, err.Error())
		return
	}
	dir := filepath.Join(mounts.EtcDir, name)
	if err != nil {
		s.add("etc-unreadable", Fails, Where{Path: dir}, err.Error(),
			"the files to see in place of those in /etc belong into a directory of that name",
			run("remove it, and make a directory", "rm "+dir, "mkdir "+dir))
		return
	}
	for _, bind := range binds {
		if err := bind.Check(); err != nil {
			s.addBind(bind, err)
		}
	}
}

// etcName is the directory below /etc/netns that the service sees in /etc; empty
// if it sees none.
func (s *subject) etcName() string {
	if s.settings.Etc == launch.EtcNone || namespace.CheckName(s.settings.Netns) != nil {
		return ""
	}
	return namespace.BaseName(s.settings.Netns)
}

func (s *subject) addBind(bind mounts.Bind, err error) {
	const why = "the service would see the host's, or nothing, where it should see its own"
	what, _, _ := strings.Cut(err.Error(), "; ")
	source, sourceErr := os.Stat(bind.Source)
	target, targetErr := os.Stat(bind.Target)
	make := "touch " + bind.Target
	if sourceErr == nil && source.IsDir() {
		make = "mkdir " + bind.Target
	}
	switch {
	case sourceErr != nil:
		s.add("etc-source", Fails, Where{Path: bind.Source}, what, "there is nothing to bind",
			run("remove it", "rm "+bind.Source))
	case errors.Is(targetErr, fs.ErrNotExist):
		commands := []string{make}
		if _, err := os.Lstat(bind.Target); err == nil { // a link to nowhere
			commands = []string{"rm " + bind.Target, make}
		}
		s.add("etc-target-missing", Fails, Where{Path: bind.Source}, what, why,
			run("create what is to be covered; or remove "+bind.Source, commands...))
	case targetErr == nil && source.IsDir() != target.IsDir():
		s.add("etc-kind", Fails, Where{Path: bind.Source}, what, why,
			run("move it away", fmt.Sprintf("mv %s /root/%s.%s", bind.Source, s.etcName(), filepath.Base(bind.Source))))
	default:
		s.add("etc-target-missing", Fails, Where{Path: bind.Source}, what, why, run("remove it", "rm -r "+bind.Source))
	}
}
