/** Takes the policy of a host into the editor, also when the address asks for it (`?from=<host>`). Undo brings back what was there. */
import { useCallback, useEffect } from 'react';
import { useSearchParams } from 'react-router';
import { useLazyPolicyQuery } from '../../client/bridge-api.ts';
import type { Failure } from '../../client/failure.ts';
import { readPolicyText, writePolicyText } from '../../client/policy-document.ts';
import { failureOf } from '../../client/query-failure.ts';
import type { PolicyEditor } from './policy-editor-state.ts';

export interface HostPolicyLoad {
  readonly load: (hostId: string) => void;
  readonly isLoading: boolean;
  readonly failure: Failure | null;
}

export const useHostPolicyLoad = ({ replace, hostIds }: PolicyEditor): HostPolicyLoad => {
  const [fetchPolicy, { isFetching, error }] = useLazyPolicyQuery();
  const [search, setSearch] = useSearchParams();
  const from = search.get('from');
  const take = useCallback(
    async (hostId: string, targets: readonly string[]): Promise<void> => {
      const { data } = await fetchPolicy({ hostId });
      if (data === undefined) return;
      const policy = readPolicyText(data.policy);
      replace(policy === null ? data.policy : writePolicyText(policy), targets, { [hostId]: data.revision });
    },
    [fetchPolicy, replace],
  );
  useEffect(() => {
    if (from === null) return;
    setSearch({}, { replace: true });
    void take(from, [from]);
  }, [from, setSearch, take]);
  return {
    load: useCallback((hostId) => void take(hostId, hostIds.length === 0 ? [hostId] : hostIds), [take, hostIds]),
    isLoading: isFetching,
    failure: failureOf(error),
  };
};
