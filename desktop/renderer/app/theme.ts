/** The MUI theme of a scheme, made of its tokens. */
import { createTheme } from '@mui/material/styles';
import type { Theme } from '@mui/material/styles';
import { schemes } from './tokens.ts';
import type { SchemeName } from './tokens.ts';

export const fontSans = '"Inter Variable", "Segoe UI", system-ui, "DejaVu Sans", sans-serif';

const buttonStyles = {
  root: {
    fontWeight: 600,
    fontSize: 13,
    lineHeight: '18px',
    borderRadius: 8,
    padding: '7px 14px',
    transition: 'none',
    textTransform: 'none',
    whiteSpace: 'nowrap',
    '& .MuiButton-startIcon': { marginRight: 6 },
    '&.MuiButton-sizeSmall': { padding: '3px 10px', fontSize: 12.5 },
    '&.MuiButton-sizeLarge': { padding: '11px 22px', fontSize: 15 },
  },
  contained: { '&.Mui-disabled': { background: 'var(--hover)', color: 'var(--off)', opacity: 0.75 } },
  outlined: {
    borderColor: 'var(--outline)',
    color: 'var(--gold)',
    '&:hover': { background: 'var(--hover)', borderColor: 'var(--outline)' },
    '&.MuiButton-colorError': { borderColor: 'var(--crit)', color: 'var(--crit)' },
    '&.MuiButton-colorError:hover': { background: 'var(--danger-fill)', borderColor: 'var(--danger-fill)', color: 'var(--on-danger-fill)' },
    '&&.Mui-disabled': { borderColor: 'var(--line)', color: 'var(--off)', opacity: 0.75 },
  },
  text: {
    color: 'var(--gold)',
    background: 'var(--hover)',
    '&:hover': { background: 'var(--line)', filter: 'brightness(1.08)' },
    '&.Mui-disabled': { color: 'var(--off)', opacity: 0.75 },
  },
} as const;

/** Four kinds of button: contained = primary, contained error = danger, text = secondary, outlined = ghost. */
export const createConsoleTheme = (name: SchemeName): Theme => {
  const { mode, tokens } = schemes[name];
  return createTheme({
    cssVariables: true,
    palette: {
      mode,
      background: { default: tokens.bg, paper: tokens.panel },
      text: { primary: tokens.text, secondary: tokens.dim },
      primary: { main: tokens.skyFill, dark: tokens.skyFillHover, contrastText: tokens.onSkyFill },
      error: { main: tokens.dangerFill, dark: tokens.dangerFillHover, contrastText: tokens.onDangerFill },
      divider: tokens.line,
    },
    shape: { borderRadius: 8 },
    typography: { fontFamily: fontSans, fontSize: 13 },
    components: {
      MuiButtonBase: { defaultProps: { disableRipple: true } },
      MuiButton: {
        defaultProps: { disableElevation: true },
        styleOverrides: {
          root: buttonStyles.root,
          contained: buttonStyles.contained,
          outlined: buttonStyles.outlined,
          text: buttonStyles.text,
        },
      },
      MuiDialog: { styleOverrides: { paper: { backgroundImage: 'none', border: '1px solid var(--line)', borderRadius: 12 } } },
      MuiTooltip: {
        styleOverrides: {
          tooltip: { background: 'var(--sunken)', color: 'var(--text)', border: '1px solid var(--outline)', fontSize: 12 },
        },
      },
    },
  });
};
