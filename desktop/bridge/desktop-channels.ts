/**
 * What the desktop shell, its preload script and the page agree on: the one object the preload script puts into the page
 * (`window.nest`), and the names of the channels behind it. Only texts and functions cross; the page never sees Electron.
 */

export interface DesktopLink {
  send(text: string): void;
  close(): void;
}

export interface DesktopPort {
  readonly platform: string;
  /** Connects the page to the core. A page has one link at a time; a second one ends the first. */
  connect(onMessage: (text: string) => void, onClose: () => void): Promise<DesktopLink>;
  /** Calls the listener with the path of each deep link the shell has accepted, for instance "/hosts/<id>". */
  onNavigate(listener: (path: string) => void): void;
}

/** The page asks the shell for a port. */
export const connectChannel = 'nest:connect';
/** The shell delivers the port. */
export const portChannel = 'nest:port';
/** The shell asks the page to show a view. */
export const navigateChannel = 'nest:navigate';
