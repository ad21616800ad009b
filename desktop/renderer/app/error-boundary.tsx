/** The last resort for a bug in a view: says so, keeps the rest of the window usable. */
import { Component } from 'react';
import type { ReactNode } from 'react';
import { FailureView } from '../widgets/blank.tsx';

interface ErrorBoundaryProps {
  readonly children: ReactNode;
}

interface ErrorBoundaryState {
  readonly isBroken: boolean;
}

export class ErrorBoundary extends Component<ErrorBoundaryProps, ErrorBoundaryState> {
  override state: ErrorBoundaryState = { isBroken: false };

  static getDerivedStateFromError(): ErrorBoundaryState {
    return { isBroken: true };
  }

  override render(): ReactNode {
    if (!this.state.isBroken) return this.props.children;
    return (
      <FailureView
        failure={{ code: 'INTERNAL', message: 'This view broke. Nothing on the hosts has changed. Try again, or choose another page.' }}
        onRetry={() => this.setState({ isBroken: false })}
      />
    );
  }
}
