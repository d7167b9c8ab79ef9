package ocicli

func resourceCommands() []command { return nil }
