// Loads a compose file with all of its profiles, as Docker Compose does, and says what is wrong with it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:], cli.WithProfiles([]string{"*"}))
	if err == nil {
		project, loading := options.LoadProject(context.Background())
		if err = loading; err == nil {
			var text []byte
			if text, err = project.MarshalYAML(); err == nil {
				os.Stdout.Write(text)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
