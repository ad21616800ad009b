/** Seen on every page while the console is open without the sign-in that it asks for. */
import { ShieldAlert } from 'lucide-react';
import { Link } from 'react-router';
import { useWatchSsoQuery } from '../client/license-api.ts';
import { formatDateTime } from '../client/units.ts';

export const SignInBanner = () => {
  const { data } = useWatchSsoQuery({});
  const without = data?.value?.withoutSignIn ?? null;
  if (without === null) return null;
  return (
    <div className="banner alarm" role="status" data-testid="sign-in-banner">
      <ShieldAlert size={16} aria-hidden="true" />
      <strong>Opened without a sign-in.</strong>
      <span className="grow cut">
        {formatDateTime(without.at)}: {without.reason}
      </span>
      <Link to="/settings">Sign in</Link>
    </div>
  );
};
