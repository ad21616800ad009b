/** Replaced by the bundler with the release's version. */
declare const NEST_VERSION: string | undefined;

/** Version of this agent; "0.0.0-source" when it runs from source. */
export const agentVersion: string = typeof NEST_VERSION === 'string' ? NEST_VERSION : '0.0.0-source';
